//! What a process has seen of the servers that its URLs lead to: the newest timeline, and which copies are too far behind to be
//! read. Connections that were made before it changed are not used again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::standing::{Standing, Timeline};

/// A connection that was being made while others were led elsewhere counts as made before.
const LEADING: Duration = Duration::from_millis(50);

/// How long a host that did not answer is tried behind the others.
const SILENT_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Seen {
    newest: Mutex<Option<Timeline>>,
    /// When another timeline was seen.
    moved: watch::Sender<Instant>,
    copies: Mutex<Copies>,
    /// Where the data is now, whatever the URLs name: shards move.
    lead: Mutex<Option<(String, u16)>>,
    /// Hosts that did not answer in their turn, and until when they are tried last.
    silent: Mutex<BTreeMap<String, Instant>>,
}

#[derive(Debug)]
struct Copies {
    /// By their places.
    behind: BTreeSet<String>,
    changed: Instant,
}

impl Default for Seen {
    fn default() -> Self {
        let copies = Copies { behind: BTreeSet::new(), changed: Instant::now() };
        let (newest, silent, lead) = Default::default();
        Self { newest, moved: watch::Sender::new(Instant::now()), copies: Mutex::new(copies), silent, lead }
    }
}

impl Seen {
    /// Notes where the database takes writes; whether that is news. An older timeline of the same cluster is none.
    pub fn note(&self, timeline: Timeline) -> bool {
        let mut newest = self.newest.lock().expect("no code panics while holding it");
        let is_news = newest.is_none_or(|newest| newest != timeline && !timeline.is_left_for(newest));
        if !is_news {
            return false;
        }
        let from = newest.replace(timeline);
        drop(newest);
        if let Some(from) = from {
            tracing::warn!(
                from = from.number,
                to = timeline.number,
                system_identifier = timeline.system,
                "the database goes on on another timeline: connections to where it was before are not used again"
            );
            self.moved.send_replace(Instant::now());
        }
        true
    }

    /// Begins with what is known before there are connections.
    pub fn begin(&self, timeline: Option<Timeline>) {
        *self.newest.lock().expect("no code panics while holding it") = timeline;
    }

    pub fn newest(&self) -> Option<Timeline> {
        *self.newest.lock().expect("no code panics while holding it")
    }

    /// Why a server may not be written to: the cluster went on without it.
    pub fn refusal(&self, standing: &Standing) -> Option<String> {
        let (at, newest) = (standing.timeline?, self.newest()?);
        at.is_left_for(newest).then(|| left_behind(at, newest))
    }

    /// Where connections lead to, if not to where their URL says.
    pub fn lead(&self) -> Option<(String, u16)> {
        self.lead.lock().expect("no code panics while holding it").clone()
    }

    /// Leads connections elsewhere; those that were made before are not used again.
    pub fn lead_to(&self, place: (String, u16)) {
        *self.lead.lock().expect("no code panics while holding it") = Some(place);
        self.moved.send_replace(Instant::now() + LEADING);
    }

    /// Resolves when another timeline is seen.
    pub fn moves(&self) -> watch::Receiver<Instant> {
        self.moved.subscribe()
    }

    /// Notes a host that did not answer in its turn: each connection would wait for it once more.
    pub fn is_silent(&self, place: String) {
        self.silent.lock().expect("no code panics while holding it").insert(place, Instant::now() + SILENT_FOR);
    }

    pub fn heard(&self, place: &str) {
        self.silent.lock().expect("no code panics while holding it").remove(place);
    }

    /// Whether a host is tried behind others.
    pub fn is_slow(&self, place: &str) -> bool {
        let silent = self.silent.lock().expect("no code panics while holding it");
        silent.get(place).is_some_and(|until| Instant::now() < *until)
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().expect("no code panics while holding it")
    }

    /// Notes which copies are not to be read; reads are distributed again.
    pub fn distribute(&self, behind: BTreeSet<String>) {
        *self.copies() = Copies { behind, changed: Instant::now() };
    }
}

/// What is said of a server that takes writes on a timeline that its cluster has left.
pub fn left_behind(at: Timeline, newest: Timeline) -> String {
    format!(
        "is an old primary: it takes writes on timeline {}, and the database has gone on on timeline {}. Stop it, or make it a \
         standby (pg_rewind): what others write to it is lost",
        at.number, newest.number
    )
}

/// What one of the paths to the database knows of it.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub seen: Arc<Seen>,
    /// Whether its connections only read, so that copies will do.
    pub reads: bool,
}

impl View {
    /// Whether a connection that was made then may lead to a server that is left now.
    pub fn is_outdated(&self, made: Instant) -> bool {
        made < *self.seen.moved.borrow() || (self.reads && made < self.seen.copies().changed)
    }

    /// Whether the copy at this place is too far behind.
    pub fn is_behind(&self, place: &str) -> bool {
        self.reads && self.seen.copies().behind.contains(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(system: i64, number: u32) -> Timeline {
        Timeline { system, number }
    }

    #[test]
    fn a_timeline_that_was_left_is_no_news_and_is_refused() {
        let seen = Seen::default();
        let made = Instant::now();
        assert!(seen.note(at(1, 2)) && !seen.note(at(1, 2)) && !seen.note(at(1, 1)));
        let view = View { seen: Arc::new(seen), reads: false };
        let on = |timeline| Standing { standby: false, read_only: false, timeline: Some(timeline), position: 0 };
        assert!(view.seen.refusal(&on(at(1, 1))).is_some_and(|why| why.contains("timeline 1")));
        assert!(view.seen.refusal(&on(at(1, 2))).is_none() && view.seen.refusal(&on(at(1, 3))).is_none());
        // The first one that is seen is no move.
        assert!(!view.is_outdated(made));
        assert!(view.seen.note(at(1, 3)));
        assert!(view.is_outdated(made) && !view.is_outdated(Instant::now()));
        assert!(view.seen.refusal(&on(at(1, 2))).is_some());
        // Another cluster, such as one that was upgraded, counts for itself.
        assert!(view.seen.note(at(2, 1)) && view.seen.refusal(&on(at(2, 1))).is_none());
    }

    #[test]
    fn what_an_operator_accepts_counts_from_then_on() {
        let seen = Seen::default();
        seen.note(at(1, 3));
        seen.begin(Some(at(1, 2)));
        let on = |number| Standing { standby: false, read_only: false, timeline: Some(at(1, number)), position: 0 };
        assert!(seen.refusal(&on(2)).is_none() && seen.refusal(&on(1)).is_some());
    }

    #[test]
    fn copies_matter_to_readers_alone() {
        let seen = Arc::new(Seen::default());
        let [readers, writers] = [true, false].map(|reads| View { seen: Arc::clone(&seen), reads });
        let made = Instant::now();
        seen.distribute(["a:1".to_owned()].into());
        assert!(readers.is_outdated(made) && !writers.is_outdated(made));
        assert!(readers.is_behind("a:1") && !readers.is_behind("b:1") && !writers.is_behind("a:1"));
    }
}
