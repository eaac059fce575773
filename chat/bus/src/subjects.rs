//! The names that envelopes are published under.

/// The subjects of one installation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subjects {
    /// Where every envelope goes: `{prefix}internal.ingress.v1`.
    pub ingress: String,
    /// Where an envelope goes that the bus would not take: `{prefix}internal.finalize.v1`.
    pub finalize: String,
}

impl Subjects {
    /// The subjects under `prefix`, which is put in front as it is and may be empty.
    pub fn new(prefix: &str) -> Subjects {
        Subjects { ingress: format!("{prefix}internal.ingress.v1"), finalize: format!("{prefix}internal.finalize.v1") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The prefix stands in front, nothing in between.
    #[test]
    fn prefix_stands_in_front() {
        assert_eq!(Subjects::new("").ingress, "internal.ingress.v1");
        assert_eq!(Subjects::new("dev.").finalize, "dev.internal.finalize.v1");
    }
}
