//! tenure-twitch
