//! How long each trial took, so that the suite does not grow slow unseen.

use std::sync::Mutex;
use std::time::Instant;

/// So many are named at the end.
const NAMED: usize = 12;

/// Seconds and name of every trial that ran.
#[derive(Default)]
pub struct Times(Mutex<Vec<(f64, String)>>);

impl Times {
    /// Runs a trial and remembers its time.
    pub fn of<T>(&self, name: &str, run: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = run();
        self.0.lock().unwrap().push((started.elapsed().as_secs_f64(), name.to_owned()));
        result
    }

    /// Prints the sum and the slowest.
    pub fn print(&self) {
        let mut times = std::mem::take(&mut *self.0.lock().unwrap());
        times.sort_by(|a, b| b.0.total_cmp(&a.0));
        let sum: f64 = times.iter().map(|(seconds, _)| seconds).sum();
        println!("{} trials took {sum:.0} s, one after the other; the slowest:", times.len());
        times.iter().take(NAMED).for_each(|(seconds, name)| println!("  {seconds:6.1} s  {name}"));
    }
}
