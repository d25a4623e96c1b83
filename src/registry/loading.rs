//! Schemas are loaded and compiled beside the requests that wait for them: of each version once at a time. One that takes long
//! holds up the senders of its stream alone, and each request of theirs for a bounded time; it goes on meanwhile, and is there for
//! who comes later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::compiled::{Compiled, SchemaKey};
use super::turns::Turns;
use crate::limits::{SCHEMAS_COMPILED_AT_ONCE, SCHEMAS_COMPILED_OF_TENANT};
use crate::schema::{Schema, SchemaError};

/// The schema, or why it cannot be had now.
pub type Loaded = Result<Arc<Schema>, Arc<str>>;

/// What is under way, by version.
type Waiting = HashMap<SchemaKey, watch::Receiver<Option<Loaded>>>;

pub struct Loading {
    compiled: Arc<Compiled>,
    turns: Arc<Turns>,
    under_way: Arc<Mutex<Waiting>>,
    /// How long a request waits for a schema.
    patience: Duration,
}

/// Ends with the task that loads it, however that ends.
struct UnderWay {
    key: SchemaKey,
    all: Arc<Mutex<Waiting>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.key);
    }
}

fn locked(all: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loading {
    pub fn new(compiled: Arc<Compiled>, patience: Duration) -> Self {
        let turns = Arc::new(Turns::shared(SCHEMAS_COMPILED_AT_ONCE, SCHEMAS_COMPILED_OF_TENANT));
        Self { compiled, turns, under_way: Arc::default(), patience }
    }

    /// The compiled schema; where it is not at hand, made of `text` by `compile`, unless that is under way already.
    pub async fn get(
        &self,
        key: &SchemaKey,
        text: impl Future<Output = Result<String, String>> + Send + 'static,
        compile: impl FnOnce(&str) -> Result<Schema, SchemaError> + Send + 'static,
    ) -> Loaded {
        let mut waiting = {
            let mut all = locked(&self.under_way);
            match all.get(key) {
                Some(waiting) => waiting.clone(),
                // What is done was kept before it stopped being under way.
                None => match self.compiled.get(key) {
                    Some(schema) => return Ok(schema),
                    None => {
                        let (sender, receiver) = watch::channel(None);
                        all.insert(key.clone(), receiver.clone());
                        let under_way = UnderWay { key: key.clone(), all: Arc::clone(&self.under_way) };
                        let (compiled, turns) = (Arc::clone(&self.compiled), Arc::clone(&self.turns));
                        tokio::spawn(async move {
                            let loaded = load(&under_way.key, &turns, text, compile).await;
                            if let Ok(schema) = &loaded {
                                compiled.keep(under_way.key.clone(), Arc::clone(schema));
                            }
                            drop(under_way);
                            sender.send_replace(Some(loaded));
                        });
                        receiver
                    }
                },
            }
        };
        let done = tokio::time::timeout(self.patience, waiting.wait_for(Option::is_some)).await;
        match done {
            Ok(Ok(loaded)) => loaded.clone().unwrap_or_else(|| Err(Arc::from("it was not told"))),
            Ok(Err(_closed)) => Err(Arc::from("loading it has failed")),
            Err(_elapsed) => Err(Arc::from("loading it takes long; it goes on")),
        }
    }
}

async fn load(
    key: &SchemaKey,
    turns: &Turns,
    text: impl Future<Output = Result<String, String>>,
    compile: impl FnOnce(&str) -> Result<Schema, SchemaError> + Send + 'static,
) -> Loaded {
    let text = text.await?;
    let compiled = {
        let _turn = turns.take(&key.0).await;
        tokio::task::spawn_blocking(move || compile(&text)).await.map_err(|error| error.to_string())?
    };
    let schema = match compiled {
        Ok(schema) => schema,
        Err(error) if error.is_passing() => return Err(error.0.into()),
        // Of an earlier version, which took it. Events do not wait for what people have to mend.
        Err(error) => {
            let (tenant, stream, version) = key;
            tracing::error!(
                %tenant, %stream, version, %error,
                "a schema that is stored cannot be compiled: events of its stream are not judged until the stream gets another \
                 schema (PATCH /v1/streams/{{name}})"
            );
            Schema::stand_in().map_err(|error| error.0)?
        }
    };
    Ok(Arc::new(schema))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::limits::MIB;

    const LONG: Duration = Duration::from_secs(600);

    fn loading(patience: Duration) -> Loading {
        Loading::new(Arc::new(Compiled::new(MIB)), patience)
    }

    fn key(stream: &str) -> SchemaKey {
        (Arc::from(stream), Box::from(stream), 1)
    }

    async fn text() -> Result<String, String> {
        Ok(r#"{"type":"object"}"#.to_owned())
    }

    fn never(_text: &str) -> Result<Schema, SchemaError> {
        panic!("it is compiled by somebody else")
    }

    #[tokio::test]
    async fn one_that_takes_long_holds_up_nobody_else_and_for_a_bounded_time() {
        let mut loading = loading(Duration::ZERO);
        let (go_on, waits) = mpsc::channel::<()>();
        let slow = move |text: &str| {
            let _ = waits.recv();
            Schema::compile(text)
        };
        let why = loading.get(&key("slow"), text(), slow).await.err().expect("nobody waits for it");
        assert!(why.contains("takes long"), "{why}");
        // Those who come next wait for the same, and others for nothing of it.
        assert!(loading.get(&key("slow"), text(), never).await.is_err());
        loading.patience = LONG;
        assert!(loading.get(&key("quick"), text(), Schema::compile).await.is_ok());
        go_on.send(()).expect("it waits");
        assert!(loading.get(&key("slow"), text(), never).await.is_ok());
        assert!(locked(&loading.under_way).is_empty());
        assert!(loading.get(&key("slow"), async { Err("it is at hand".into()) }, never).await.is_ok());
    }

    #[tokio::test]
    async fn what_fails_is_tried_again() {
        let loading = loading(LONG);
        let gone = async { Err("the database is away".to_owned()) };
        let why = loading.get(&key("s"), gone, never).await.err().expect("no text");
        assert_eq!(&*why, "the database is away");
        let why = loading.get(&key("s"), text(), |_: &str| panic!("for the test")).await.err().expect("no schema");
        assert!(why.contains("panic"), "{why}");
        let passing = |_: &str| Err(SchemaError::not_now(&"no memory"));
        assert!(loading.get(&key("s"), text(), passing).await.is_err());
        assert!(loading.get(&key("s"), text(), Schema::compile).await.is_ok());
    }

    #[tokio::test]
    async fn one_that_is_no_schema_any_more_has_a_stand_in() {
        let loading = loading(LONG);
        let text = async { Ok(r#"{"type":"strin"}"#.to_owned()) };
        let schema = loading.get(&key("s"), text, Schema::compile).await.expect("a stand-in");
        assert!(schema.is_stand_in() && schema.judge(r#"{"a":1}"#).is_ok());
        let again = loading.get(&key("s"), async { Err("it is at hand".into()) }, never).await.expect("it is kept");
        assert!(again.is_stand_in());
    }
}
