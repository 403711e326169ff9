//! Signals are the whole process's: this test has one to itself.

use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use telemetry::lifecycle::Lifecycle;

#[tokio::test]
async fn a_hangup_is_heard_and_the_second_signal_ends_the_wait() {
    let life = Lifecycle::new(Duration::from_secs(60));
    let mut hangups = life.hangups().unwrap();
    let token = life.token();
    life.spawn("mirror", async move { token.cancelled().await });
    life.spawn("upload", std::future::pending::<()>());
    let run = tokio::spawn({
        let life = life.clone();
        async move { life.run_until_stopped().await }
    });
    tokio::task::yield_now().await;

    raise(Signal::HUP);
    hangups.recv().await.unwrap();
    assert!(!life.token().is_cancelled());

    raise(Signal::TERM);
    life.token().cancelled().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!run.is_finished(), "the upload has its grace time");

    raise(Signal::TERM);
    let stopped = run.await.unwrap().expect_err("the upload never ends");
    let told = stopped.to_string();
    assert_eq!(told, "stopped at once by a second signal; still running: upload");
}

fn raise(signal: Signal) {
    kill_process(getpid(), signal).expect("a process may signal itself");
}
