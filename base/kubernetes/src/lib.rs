//! A client of Kubernetes' API server for whoever writes on a condition: each change names what it changes, by uid and
//! resourceVersion, and is sent once.
//!
//! A general client repeats what was answered by 429, 503 or 504, and the second try of a conditional write meets the first;
//! and it replaces an object by name and version alone, which makes one that was deleted anew. Here
//!
//! - **nothing is repeated**, and a [`Client::replace`] or [`Client::delete`] without a uid is refused before it is sent.
//! - **a call is bounded** at both ends: the server is told when nobody waits any more (`?timeout=`), and the client waits a
//!   second longer, so that it hears the server's own word. Connecting is bounded by 2 s, a plugin for credentials by 30 s. So is
//!   what is read: an object by 16 MiB, a page of a list by 256 MiB, the reason of a refusal by 1 MiB.
//! - **a failure says what it means**: [`Changed::Conflict`] where the object is not as it was seen, an error of kind
//!   [`Unknown`](KubernetesErrorKind::Unknown) where the change may have been done or may be done later, any other kind where
//!   nothing was done.
//! - **credentials** are those of kubectl, or of a pod ([`Cluster`]). Tokens and authorities that change in their files are read
//!   again; a plugin is asked again when its credentials end, or when the server refuses them, at most each 10 s. It runs within
//!   the time of the call that needs it. None of them shows in an error or in what is printed of these types.
//!
//! ```no_run
//! use tenure_base_kubernetes::{Changed, Client, Cluster, LeaseSpec, Object, leases};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::parse("kubernetes:default", |_, _| false)?;
//! let client = Client::connect(&cluster, leases(), "team=a").await?;
//! match client.get("my-app-leader").await?.object {
//!     Some(mut lease) if LeaseSpec::of(&lease).holder().is_empty() => {
//!         lease.metadata.labels.get_or_insert_default().insert("team".to_owned(), "a".to_owned());
//!         if client.replace(&lease).await? == Changed::Conflict {
//!             println!("somebody else was faster");
//!         }
//!     }
//!     Some(lease) => println!("{} has it", LeaseSpec::of(&lease).holder()),
//!     None => println!("nobody ever had it"),
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod client;
mod cluster;
mod connection;
mod credentials;
mod diagnosis;
mod error;
mod events;
mod lease_spec;
mod object_name;
mod verb;
mod watch;

pub use client::{Changed, Client, Found, Object};
pub use cluster::Cluster;
pub use error::{KubernetesError, KubernetesErrorKind};
pub use kube::core::ApiResource;
pub use lease_spec::LeaseSpec;
pub use object_name::{is_object_name, object_name};
pub use verb::Verb;
pub use watch::Change;

/// The kind of Leases: `leases` of `coordination.k8s.io/v1`.
pub fn leases() -> ApiResource {
    ApiResource::erase::<k8s_openapi::api::coordination::v1::Lease>(&())
}
