//! What mutants are made of: a frame around a machine, a frame around the store model, a store that is easy to get wrong.

pub(crate) mod machine_frame;
pub(crate) mod plain_store;
pub(crate) mod server_frame;
pub(crate) mod shell_frame;
pub(crate) mod store_frame;
