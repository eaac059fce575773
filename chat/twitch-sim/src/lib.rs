//! tenure-twitch-sim
