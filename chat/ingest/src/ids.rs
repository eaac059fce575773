//! Maps and sets by envelope id.
//!
//! An id is part of a SHA-1 already, so a quick hash with a seed of the process is enough; the standard library's would take
//! a tenth of the pipeline's time.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use tenure_envelope::EnvelopeId;

/// Values by envelope id.
pub(crate) type IdMap<V> = HashMap<EnvelopeId, V, RandomState>;

/// Envelope ids.
pub(crate) type IdSet = HashSet<EnvelopeId, RandomState>;
