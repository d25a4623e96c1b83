//! kill -9 for Tidegate at every step of a request's way (scenario 9): in the spool by the preloaded library, on the way
//! to the database by the proxy.

use crate::env::{Env, TestResult, until};
use crate::process::Tidegate;
use crate::proxy::{Cut, Point};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::shim::{self, Call, Harm, Rule};
use crate::stage::Stage;
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s09_killed_appending).needs(shim::missing),
    scenario!(s09_killed_beginning_a_segment).needs(shim::missing),
    scenario!(s09_killed_saving_the_cursor).needs(shim::missing).slow(),
    scenario!(s09_killed_removing_a_segment).needs(shim::missing).slow(),
    scenario!(s09_killed_copying),
    scenario!(s09_killed_committing),
    scenario!(s09_killed_draining).slow(),
];

/// Waits for its death and for what it had to be doing, and starts the next one.
fn reborn(stage: &Stage<'_>, senders: &Senders, tidegate: &mut Tidegate, step: &str) {
    stage.shim().wait_hit(step);
    let status = tidegate.wait();
    assert_eq!(status.code(), None, "{step}: {status}");
    stage.shim().clear();
    stage.proxy.back();
    *tidegate = stage.serve();
    senders.redirect(&tidegate.client);
    senders.flow(8);
}

/// Dies at each of these steps, which `begin` brings about once it has armed the rule; `end` waits for what is to follow.
fn killed_at_steps(
    env: &Env,
    name: &str,
    steps: &[Rule<'_>],
    begin: impl Fn(&Stage<'_>, &Senders, Rule<'_>),
    end: impl Fn(&Stage<'_>, &Tidegate),
) -> TestResult {
    let stage = Stage::with_shim(env);
    let mut tidegate = stage.serve();
    let senders = Senders::start(&stage.told, &tidegate.client, Patience::Retry);
    for rule in steps {
        senders.flow(4);
        stage.proxy.away();
        begin(&stage, &senders, *rule);
        reborn(&stage, &senders, &mut tidegate, &format!("{rule:?}"));
        end(&stage, &tidegate);
    }
    senders.finish();
    stage.drained(&tidegate);
    stage.assert_invariants(&tidegate, name);
    Ok(())
}

/// Dies at each of these steps while requests go into the spool.
fn killed_spooling(env: &Env, name: &str, steps: &[Rule<'_>]) -> TestResult {
    let begin = |stage: &Stage<'_>, senders: &Senders, rule: Rule<'_>| {
        // A segment is begun before anything is appended to it; the first of this process may be the one.
        if rule.part == ".seg" {
            senders.spool(4);
        }
        stage.shim().arm(rule);
    };
    killed_at_steps(env, name, steps, begin, |_, _| {})
}

fn s09_killed_appending(env: &Env) -> TestResult {
    let steps = [
        Rule::once(Call::WRITE, Harm::KillBefore, ".seg", 0),
        Rule::once(Call::WRITE, Harm::KillAfter, ".seg", 1),
        Rule::once(Call::SYNC, Harm::KillBefore, ".seg", 2),
        Rule::once(Call::SYNC, Harm::KillAfter, ".seg", 0),
    ];
    killed_spooling(env, "s09_killed_appending", &steps)
}

fn s09_killed_beginning_a_segment(env: &Env) -> TestResult {
    let steps = [
        Rule::once(Call::WRITE, Harm::KillBefore, ".tmp", 0),
        Rule::once(Call::SYNC, Harm::KillAfter, ".tmp", 0),
        Rule::once(Call::RENAME, Harm::KillBefore, ".tmp", 0),
        Rule::once(Call::RENAME, Harm::KillAfter, ".tmp", 0),
    ];
    killed_spooling(env, "s09_killed_beginning_a_segment", &steps)
}

/// Dies at each of these steps while the spool is drained.
fn killed_draining(env: &Env, name: &str, steps: &[Rule<'_>]) -> TestResult {
    let begin = |stage: &Stage<'_>, _: &Senders, rule: Rule<'_>| {
        // More than one segment, so that there is one to take away.
        until("there are segments to drain", || (stage.segments().len() > 2).then_some(()));
        stage.shim().arm(rule);
        stage.proxy.back();
    };
    killed_at_steps(env, name, steps, begin, |stage, tidegate| stage.drained(tidegate))
}

fn s09_killed_saving_the_cursor(env: &Env) -> TestResult {
    let steps = [
        Rule::once(Call::WRITE, Harm::KillBefore, "/cursor", 0),
        Rule::once(Call::WRITE, Harm::KillAfter, "/cursor", 0),
        Rule::once(Call::SYNC, Harm::KillBefore, "/cursor", 1),
        Rule::once(Call::SYNC, Harm::KillAfter, "/cursor", 0),
    ];
    killed_draining(env, "s09_killed_saving_the_cursor", &steps)
}

fn s09_killed_removing_a_segment(env: &Env) -> TestResult {
    let steps =
        [Rule::once(Call::UNLINK, Harm::KillBefore, ".seg", 0), Rule::once(Call::UNLINK, Harm::KillAfter, ".seg", 0)];
    killed_draining(env, "s09_killed_removing_a_segment", &steps)
}

/// Dies while a connection is held at this point.
fn killed_at(stage: &Stage<'_>, senders: &Senders, tidegate: &mut Tidegate, point: Point) {
    let held = stage.proxy.held();
    stage.proxy.hold_next(point);
    until("a writer is held", || (stage.proxy.held() > held).then_some(()));
    tidegate.kill();
    // What was on its way may still arrive.
    stage.proxy.release();
    *tidegate = stage.serve();
    senders.redirect(&tidegate.client);
    senders.flow(8);
}

fn s09_killed_copying(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    let senders = Senders::start(&stage.told, &tidegate.client, Patience::Retry);
    for point in [Point::CopyData, Point::CopyDone] {
        senders.flow(4);
        killed_at(&stage, &senders, &mut tidegate, point);
    }
    senders.finish();
    stage.assert_invariants(&tidegate, "s09_killed_copying");
    Ok(())
}

fn s09_killed_committing(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    let senders = Senders::start(&stage.told, &tidegate.client, Patience::Retry);
    senders.flow(4);
    killed_at(&stage, &senders, &mut tidegate, Point::Commit);
    // Committed and answered, and the answer not heard.
    let cuts = stage.proxy.cuts();
    stage.proxy.cut_next(Cut::AfterCommit);
    until("a COMMIT is lost", || (stage.proxy.cuts() > cuts).then_some(()));
    tidegate.kill();
    tidegate = stage.serve();
    senders.redirect(&tidegate.client);
    senders.flow(8);
    senders.finish();
    stage.assert_invariants(&tidegate, "s09_killed_committing");
    Ok(())
}

fn s09_killed_draining(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    let senders = Senders::start(&stage.told, &tidegate.client, Patience::Retry);
    for point in [Point::CopyData, Point::CopyDone, Point::Commit] {
        senders.flow(4);
        stage.proxy.away();
        senders.spool(40);
        stage.proxy.back();
        killed_at(&stage, &senders, &mut tidegate, point);
        stage.drained(&tidegate);
    }
    senders.finish();
    stage.assert_invariants(&tidegate, "s09_killed_draining");
    Ok(())
}
