//! Passwords: which ones are taken, and their hashes.
//!
//! Argon2id with the parameters of OWASP. So many hashes are computed at once and no more, since each takes memory and a
//! processor; each is counted, so that it can be shown that an address which nobody has costs the same as one that somebody has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{
    PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PASSWORD_HASH_KIB, PASSWORD_HASH_LANES, PASSWORD_HASH_PASSES,
    PASSWORD_HASHES_AT_ONCE, PASSWORD_HASHES_WAITING_MAX,
};
use crate::storage::StorageError;

/// Of at least twelve characters, those that are tried first; in lower case.
const OBVIOUS: &[&str] = &[
    "123456789012",
    "1234567890123",
    "12345678901234",
    "123456789012345",
    "1234567890123456",
    "123456123456",
    "123123123123",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "qwertyuiop12",
    "qwertyuiop123",
    "qwertyuiopasdf",
    "qwerty123456",
    "qwertyqwerty",
    "abcdefghijkl",
    "abcdefghijklm",
    "abc123abc123",
    "abcd1234abcd",
    "asdfghjklasdf",
    "password1234",
    "password12345",
    "password123456",
    "passwordpassword",
    "password123!",
    "p@ssw0rd1234",
    "passw0rd1234",
    "administrator",
    "administrator1",
    "adminadminadmin",
    "admin1234567",
    "administrator123",
    "changemechangeme",
    "changeme1234",
    "letmeinletmein",
    "letmein12345",
    "welcome12345",
    "welcomewelcome",
    "iloveyou1234",
    "iloveyouiloveyou",
    "sunshine1234",
    "trustno1trustno1",
    "correcthorsebatterystaple",
    "correct horse battery staple",
    "tidegatetidegate",
    "tidegate1234",
    "tidegateadmin",
    "secretsecret",
    "supersecret1",
    "defaultdefault",
    "defaultpassword",
    "testtesttest",
    "testpassword",
    "temporarypassword",
];

/// A password. It has no Debug and no Display, so that it cannot reach a log by accident.
pub struct Password(String);

impl Password {
    /// One that somebody signs in with, right or wrong.
    pub fn given(text: String) -> Self {
        Self(text)
    }

    /// One that somebody with this e-mail address chooses; an error says why it is not taken. No rules of composition: they
    /// make passwords harder to remember, not to guess (NIST SP 800-63B).
    pub fn chosen(text: String, email: &str) -> Result<Self, String> {
        let characters = text.chars().count();
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&characters) {
            return Err(format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"));
        }
        let folded = text.to_lowercase();
        if folded.trim() == email.to_lowercase() {
            return Err("must not be the e-mail address".into());
        }
        let first = folded.chars().next();
        let is_one_character = folded.chars().all(|character| Some(character) == first);
        if is_one_character || OBVIOUS.contains(&folded.trim()) {
            return Err("is among the first that anybody would try; choose another one".into());
        }
        Ok(Self(text))
    }

    /// One that nobody has thought of: 160 random bits in groups that can be read out.
    pub fn generate() -> Result<Self, StorageError> {
        // No letter that looks like another letter or digit.
        const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| StorageError::fatal(format!("no random bytes: {error}")))?;
        let letters: Vec<char> = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
        let groups: Vec<String> = letters.chunks(8).map(|group| group.iter().collect()).collect();
        Ok(Self(groups.join("-")))
    }

    /// The text to hand to its holder; shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// More hashes are wanted than may wait.
#[derive(Debug)]
pub struct HashesBusy;

/// Whether a password is the right one.
pub struct Verdict {
    pub is_right: bool,
    /// A hash with the parameters of today, where the right password's was made with others.
    pub renewed: Option<String>,
}

/// Computes hashes, so many at once and no more.
#[derive(Clone)]
pub struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(PASSWORD_HASHES_AT_ONCE)), waiting: Arc::default() }
    }
}

impl Hasher {
    /// The PHC string of a password.
    pub async fn hash(&self, password: Password) -> Result<Result<String, StorageError>, HashesBusy> {
        let turn = self.turn().await?;
        Ok(off_the_runtime(turn, move || hashed(&password)).await)
    }

    /// Whether a password is that of a PHC string; with None the same work is done for nothing.
    pub async fn verify(
        &self,
        password: Password,
        phc: Option<String>,
    ) -> Result<Result<Verdict, StorageError>, HashesBusy> {
        let turn = self.turn().await?;
        Ok(off_the_runtime(turn, move || {
            let is_right = matches(&password, phc.as_deref().unwrap_or(&nobodys())) && phc.is_some();
            let old = phc.filter(|phc| is_right && !is_current(phc));
            let renewed = old.map(|_| hashed(&password)).transpose()?;
            Ok(Verdict { is_right, renewed })
        })
        .await)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, HashesBusy> {
        /// Counts who waits, also where waiting is given up.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= PASSWORD_HASHES_WAITING_MAX {
            return Err(HashesBusy);
        }
        Ok(Arc::clone(&self.turns).acquire_owned().await.expect("nobody closes it"))
    }
}

/// Work of tens of milliseconds, which keeps its turn even where nobody waits for it any more.
async fn off_the_runtime<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(|error| StorageError::fatal(format!("a password's hash was not computed: {error}")))?
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(PASSWORD_HASH_KIB, PASSWORD_HASH_PASSES, PASSWORD_HASH_LANES, None);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.expect("the parameters are constants"))
}

/// The PHC string of a password, with a salt of its own. Blocks for tens of milliseconds.
pub fn hashed(password: &Password) -> Result<String, StorageError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| StorageError::fatal(format!("no random bytes: {error}")))?;
    count();
    let hash = argon2().hash_password_with_salt(password.0.as_bytes(), &salt);
    Ok(hash.map_err(|error| StorageError::fatal(format!("a password's hash: {error}")))?.to_string())
}

fn matches(password: &Password, phc: &str) -> bool {
    count();
    PasswordHash::new(phc).is_ok_and(|hash| argon2().verify_password(password.0.as_bytes(), &hash).is_ok())
}

fn count() {
    metrics::counter!("tidegate_password_hashes_total").increment(1);
}

/// What the PHC strings of today begin with.
fn current() -> String {
    format!("$argon2id$v=19$m={PASSWORD_HASH_KIB},t={PASSWORD_HASH_PASSES},p={PASSWORD_HASH_LANES}$")
}

fn is_current(phc: &str) -> bool {
    phc.starts_with(&current())
}

/// A hash that no known password has.
fn nobodys() -> String {
    format!("{}dGlkZWdhdGUgbm9ib2R5cw$R2xhZCB5b3UgbG9va2VkLiBOb2JvZHkgaGFzIGl0Lg8", current())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Password {
        Password::given(text.to_owned())
    }

    #[test]
    fn long_ones_are_taken_and_obvious_ones_are_not() {
        let chosen = |text: &str| Password::chosen(text.to_owned(), "ann.long@example.org").map(drop);
        for good in ["a long sentence", "ürgendwas längeres", &"x1".repeat(512), "            a"] {
            assert_eq!(chosen(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("short", "12 to 1024"),
            ("elevenchars", "12 to 1024"),
            (&"x1".repeat(513), "12 to 1024"),
            ("Ann.Long@Example.org", "e-mail"),
            ("aaaaaaaaaaaaaaaa", "first"),
            ("PassWord1234", "first"),
            ("password1234 ", "first"),
        ] {
            let refused = chosen(bad).expect_err(bad);
            assert!(refused.contains(why), "{bad}: {refused}");
        }
        assert!(OBVIOUS.iter().all(|text| text.chars().count() >= PASSWORD_CHARS_MIN && *text == text.to_lowercase()));
    }

    #[test]
    fn a_hash_is_of_its_password_and_of_no_other() {
        let phc = hashed(&given("a long sentence")).expect("memory");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && is_current(&phc), "{phc}");
        assert!(matches(&given("a long sentence"), &phc));
        assert!(!matches(&given("a long Sentence"), &phc));
        assert_ne!(phc, hashed(&given("a long sentence")).expect("memory"), "salts differ");
        // It costs what others do: it is a hash that is computed and differs.
        PasswordHash::new(&nobodys()).expect("a PHC string");
        assert!(!matches(&given(""), &nobodys()));
    }

    #[tokio::test]
    async fn older_parameters_are_renewed_with_the_right_password() {
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).expect("parameters"));
        let old = weak.hash_password_with_salt(b"a long sentence", &[7; 16]).expect("memory").to_string();
        let hasher = Hasher::default();
        let verify = async |text: &str, phc: &str| {
            hasher.verify(given(text), Some(phc.to_owned())).await.expect("a turn").expect("a verdict")
        };
        assert!(verify("another sentence", &old).await.renewed.is_none());
        let right = verify("a long sentence", &old).await;
        let renewed = right.renewed.filter(|_| right.is_right).expect("another hash");
        let again = verify("a long sentence", &renewed).await;
        assert!(again.is_right && again.renewed.is_none());
        assert!(!hasher.verify(given("anything"), None).await.expect("a turn").expect("a verdict").is_right);
    }

    #[test]
    fn what_is_generated_is_long_and_each_time_another() {
        let [one, other] = [(); 2].map(|()| Password::generate().expect("randomness").0);
        assert!(one.len() == 35 && one != other, "{one}");
    }
}
