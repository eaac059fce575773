//! The simulated Twitch by itself: `cargo run -p tenure-twitch-sim --example twitch-sim -- --help`.

use clap::Parser;

#[tokio::main]
async fn main() -> Result<(), tenure_twitch_sim::SimError> {
    tenure_twitch_sim::run(tenure_twitch_sim::Args::parse()).await
}
