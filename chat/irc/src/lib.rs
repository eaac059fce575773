//! tenure-irc
