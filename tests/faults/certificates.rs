//! Certificates of the database expire, rotate and change their authority under load (scenario 46).

use std::sync::Arc;

use tidegate::storage::embedded::{OWNER, READER, WRITER};

use crate::authority::{Authority, expired};
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::scenario;
use crate::scenario::Scenario;
use crate::secure::{HOST, STRICT, SecureServer, identity};
use crate::senders::Senders;
use crate::told::Told;
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[scenario!(s46_certificates_change_while_it_runs)];

/// What senders meet while connections cannot be made, and once they can be.
struct Play<'a> {
    server: &'a SecureServer,
    tidegate: &'a Tidegate,
    senders: &'a Senders,
}

impl Play<'_> {
    /// No connection stands, and none can be made: requests go to the spool, and the log says why.
    fn away(&self, because: &str) {
        // One that was being made while the server changed stands by what it knew before, and is not listed until it is made.
        self.senders.spool_while(10, || self.server.disconnect());
        until(because, || self.tidegate.log().contains(because).then_some(()));
    }

    /// By new files alone.
    fn back(&self) {
        self.senders.flow(10);
    }
}

fn s46_certificates_change_while_it_runs(env: &Env) -> TestResult {
    let (before, after) = (Authority::new("the authority"), Authority::new("its successor"));
    let server = SecureServer::start(env, &before, STRICT);
    let root = before.save(&env.path().join("ca.crt"));
    let identities =
        |authority: &Authority| [OWNER, WRITER, READER].map(|role| identity(env, &authority.sign(role, &[]), role));
    identities(&before);
    let variables = server.variables(|role| {
        let file = |kind: &str| env.path().join(format!("{role}.{kind}")).display().to_string();
        let (cert, key) = (file("crt"), file("key"));
        format!("sslmode=verify-full&sslrootcert={}&sslcert={cert}&sslkey={key}", root.display())
    });
    let tidegate = Tidegate::serve(env, &variables, &[]);
    let told = Arc::new(Told::default());
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(10);
    let play = Play { server: &server, tidegate: &tidegate, senders: &senders };

    // The server's certificate expires. Connections that stand are not touched by it; new ones cannot be made.
    server.set_certificate(&before.sign_with("the server", &[HOST], expired));
    senders.flow(10);
    play.away("the server's certificate has expired");
    server.set_certificate(&before.sign("the server, renewed", &[HOST]));
    play.back();

    // Its authority changes, first unannounced, then by a file that has both.
    server.set_certificate(&after.sign("the server", &[HOST]));
    play.away("not signed by an authority that is trusted");
    std::fs::write(&root, format!("{}{}", before.pem(), after.pem()))?;
    play.back();

    // The server asks for clients of the new authority; new files of theirs are taken up.
    server.set_authority(&after);
    play.away("refuses the client certificate");
    identities(&after);
    play.back();

    senders.finish();
    Scene::new(env, &tidegate, &server.sql(), &told).assert_invariants("s46_certificates_change_while_it_runs");
    Ok(())
}
