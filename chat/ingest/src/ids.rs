//! Maps and sets by envelope id. An id is the end of a SHA-1 already, so a quick hash with a seed of the process is enough:
//! with the standard library's a tenth of the pipeline's time would go there.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use tenure_envelope::EnvelopeId;

/// Values by envelope id.
pub(crate) type IdMap<V> = HashMap<EnvelopeId, V, RandomState>;

/// Envelope ids.
pub(crate) type IdSet = HashSet<EnvelopeId, RandomState>;
