//! An election from beginning to end. Start it in several terminals: one leads, and when it ends another one follows.
//!
//! ```sh
//! cargo run -p tenure-examples --bin leader-election
//! ```

mod settings;

use std::time::Duration;

use anyhow::{Context, Result};
use settings::Settings;
use tenure::{Election, Event, Events, HolderId, Leadership};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::read()?;
    println!(
        "====================================\n  Leader election with Tenure\n===================================="
    );

    let store = tenure_open::open(&settings.store).await.context(
        "cannot open the store; for Redis on this machine: docker compose -f examples/compose.yaml up -d --wait",
    )?;
    let scheme = store.info().scheme;
    let timing = settings.timing.resolve()?;
    let mut builder = Election::builder(store, &settings.lock_key).timing(settings.timing);
    if let Some(name) = &settings.instance_id {
        builder = builder.holder(name);
    }
    let election = builder.start()?;

    section("Demo 1: listen to an election");
    println!("Candidate:      {}", election.holder());
    println!("Lock key:       {}", election.key());
    println!("Store:          {scheme}");
    println!("Lease duration: {:?}", timing.ttl());
    println!("Renew interval: {:?}", timing.renew_interval());
    println!("Without renewal this instance acts for {:?} at most.", timing.validity());
    let listening = tokio::spawn(listen(election.events()));
    println!("Listening for BecameLeader, LostLeadership and LeaderChanged.");

    // Two things at a time: campaigns with the leader's work, and somebody who looks on.
    let show = Show::default();
    let leading = election.run_until(show.over.cancelled(), |leadership| work(leadership, &show));
    tokio::try_join!(leading, look_on(&election, &settings, &show))?;

    // The release was written after the work had ended. Only then may others lead, and now they may at once.
    listening.await?;
    println!("\nStopped, and the lease is free. Another instance need not wait for it to run out.");
    Ok(())
}

/// Where the show stands, for the leader's work.
#[derive(Default)]
struct Show {
    demo_4: CancellationToken,
    over: CancellationToken,
}

/// Prints what happens in the election; ends with it.
async fn listen(mut events: Events) {
    while let Some(event) = events.next().await {
        match event {
            Event::BecameLeader { term } => {
                println!("\n*** BecameLeader ***\n  This instance leads, under term {term}.");
            }
            Event::LostLeadership { reason, led_for } => {
                println!("\n*** LostLeadership ***\n  Reason: {reason}\n  Led for: {led_for:.1?}");
            }
            Event::LeaderChanged { leader, is_self, .. } => {
                let leader = leader.as_ref().map_or("nobody", HolderId::as_str);
                println!(
                    "\n*** LeaderChanged ***\n  Leader: {leader}{}",
                    if is_self { " (this instance)" } else { "" }
                );
            }
            Event::StoreFailed { verb, message, .. } => println!("\nThe store did not {verb}: {message}"),
            Event::Lagged(missed) => println!("\n{missed} events were missed."),
            _ => {}
        }
    }
}

/// The work that only the leader does: batches, each under the tenure's term, and none that it has no right to.
async fn work(leadership: Leadership, show: &Show) -> Result<()> {
    let mut lost = std::pin::pin!(leadership.lost());
    tokio::select! {
        () = show.demo_4.cancelled() => {}
        _ = &mut lost => return Ok(()),
    }
    for batch in 1_u64.. {
        if !leadership.is_current() {
            break;
        }
        println!("Leading: batch {batch} done under term {}", leadership.term());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = &mut lost => break,
        }
    }
    Ok(())
}

/// The other demos, until somebody wants this process to end.
async fn look_on(election: &Election, settings: &Settings, show: &Show) -> Result<()> {
    tokio::select! {
        () = demos(election, settings, show) => {}
        asked = tenure_examples::asked_to_stop() => asked?,
    }
    section("Shutdown: stop the work, then hand over");
    println!("Was leading: {}", yes_or_no(election.status().is_leader()));
    show.over.cancel();
    Ok(())
}

async fn demos(election: &Election, settings: &Settings, show: &Show) {
    section("Demo 2: take part");
    println!("Campaigning ...");
    let mut status = election.observe();
    let first =
        status.wait_for(|status| status.is_leader() || status.leader.is_some()).await.map(|status| status.clone());
    // The events of that moment come first.
    tokio::task::yield_now().await;
    let Ok(first) = first else { return };
    println!("\nThe first result:");
    println!("  Is leader:      {}", yes_or_no(first.is_leader()));
    println!("  Current leader: {}", first.leader.as_ref().map_or("nobody", HolderId::as_str));

    section("Demo 3: watch the status");
    for check in 1..=settings.checks {
        let status = election.status();
        println!("Status check {check}/{}:", settings.checks);
        println!("  Is leader:      {}", yes_or_no(status.is_leader()));
        println!("  Current leader: {}", status.leader.as_ref().map_or("nobody", HolderId::as_str));
        if let Some(remaining) = status.remaining() {
            println!("  May act for:    {remaining:.1?} without another renewal");
        }
        println!();
        tokio::time::sleep(settings.check_interval).await;
    }

    section("Demo 4: work that only the leader does");
    println!("Ctrl-C ends it, and hands over.\n");
    show.demo_4.cancel();
    loop {
        let status = election.status();
        if !status.is_leader() {
            println!("Following: {} leads", status.leader.as_ref().map_or("nobody", HolderId::as_str));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn section(title: &str) {
    println!("\n=== {title} ===\n");
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
