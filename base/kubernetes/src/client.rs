//! The calls: one object, or all that a label selects, each change on the condition that the object is as it was seen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use http::StatusCode;
use kube::core::{ApiResource, ObjectList, TypeMeta};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::connection::{Connection, GRACE};
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::verb::Verb;
use crate::watch::{Change, follow};

/// An object of any kind: its metadata, and all else as JSON.
pub use kube::core::DynamicObject as Object;

/// How many objects a page of a list has.
const PAGE: usize = 500;
/// The name that is asked for, to learn what is allowed.
pub(crate) const PROBE: &str = "tenure";

/// A client for one kind of objects in one namespace.
///
/// Every call is sent once, and ends within the cluster's [`timeout`](Cluster::timeout) and a second. How many are under way at a
/// time is the caller's to bound. Dropping the future of one that writes leaves its outcome unknown.
#[derive(Debug)]
pub struct Client {
    pub(crate) connection: Arc<Connection>,
    timeout: Duration,
    missing: Option<Verb>,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The object; `None` where there is none of that name.
    pub object: Option<Object>,
    /// The server's wall clock at that moment, in microseconds since 1970, where its answer named it: right to a second.
    pub server_micros: Option<u64>,
}

/// How a change ended, where that is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// It was done. The object as it is now; of a deletion as it was.
    Done(Box<Object>),
    /// The object is not as the change expects it: nothing was done.
    Conflict,
}

impl Client {
    /// Finds the cluster, and asks it what may be done with objects of this kind that have the label `selector`
    /// (`name=value`).
    ///
    /// Fails where no cluster is named, where it does not answer or is not the one that the kubeconfig trusts, and where it does
    /// not allow to get objects.
    pub async fn connect(cluster: &Cluster, of: ApiResource, selector: &str) -> Result<Client, KubernetesError> {
        let connection = Arc::new(Connection::new(cluster, of).await?);
        let mut client = Client { connection, timeout: cluster.timeout + GRACE, missing: None };
        let (get, list, watch) = tokio::join!(client.get(PROBE), client.page(selector, 1, ""), client.begin(selector));
        get?;
        for (verb, probed) in [(Verb::Watch, watch), (Verb::List, list.map(drop))] {
            match probed {
                Ok(()) => {}
                Err(error) if error.kind() == KubernetesErrorKind::Forbidden => client.missing = Some(verb),
                Err(error) => return Err(error),
            }
        }
        Ok(client)
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.connection.namespace()
    }

    /// How long a call may take.
    pub fn call_timeout(&self) -> Duration {
        self.timeout
    }

    /// What was not allowed when this client was made: to [`list`](Verb::List), and then to watch neither, or to
    /// [`watch`](Verb::Watch) alone; `None` where both were.
    pub fn missing(&self) -> Option<Verb> {
        self.missing
    }

    /// The object of this name, as a quorum of the server's etcd has it.
    pub async fn get(&self, name: &str) -> Result<Found, KubernetesError> {
        let answer = self.connection.call(Verb::Get, Some(name), "", Vec::new()).await?;
        let object = match answer.status {
            StatusCode::OK => Some(answer.read(Verb::Get, &self.connection.resource)?),
            _ if answer.is_without(&self.connection.resource) => None,
            _ => return Err(self.connection.refusal(Verb::Get, &answer)),
        };
        Ok(Found { object, server_micros: answer.server_micros })
    }

    /// Makes the object where there is none of its name.
    pub async fn create(&self, object: &Object) -> Result<Changed, KubernetesError> {
        let answer = self.connection.call(Verb::Create, None, "", self.body(object)?).await?;
        self.changed(Verb::Create, &answer, object)
    }

    /// Replaces the object whose uid and resourceVersion these are. Both have to be there: a PUT without uid makes a deleted
    /// object anew, and one without resourceVersion replaces whatever stands. One that is equal to what stands keeps its
    /// resourceVersion, as if nothing had been written.
    pub async fn replace(&self, object: &Object) -> Result<Changed, KubernetesError> {
        let (name, ..) = identity(object)?;
        let answer = self.connection.call(Verb::Update, Some(name), "", self.body(object)?).await?;
        self.changed(Verb::Update, &answer, object)
    }

    /// Deletes the object whose uid and resourceVersion these are.
    pub async fn delete(&self, object: &Object) -> Result<Changed, KubernetesError> {
        let (name, uid, version) = identity(object)?;
        let only = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid, "resourceVersion": version},
        });
        let answer = self.connection.call(Verb::Delete, Some(name), "", only.to_string().into_bytes()).await?;
        self.changed(Verb::Delete, &answer, object)
    }

    /// What `take` makes of each object that has this label, page by page.
    pub async fn list<T>(
        &self,
        selector: &str,
        mut take: impl FnMut(Object) -> Option<T>,
    ) -> Result<Vec<T>, KubernetesError> {
        self.allowed(&[Verb::List])?;
        let (mut taken, mut from) = (Vec::new(), String::new());
        loop {
            let page = self.page(selector, PAGE, &from).await?;
            taken.extend(page.items.into_iter().filter_map(&mut take));
            from = page.metadata.continue_.unwrap_or_default();
            if from.is_empty() {
                return Ok(taken);
            }
        }
    }

    /// What changes of the objects that have this label, from now on. The stream ends where something may have been missed.
    pub async fn watch(&self, selector: &str) -> Result<BoxStream<'static, Change>, KubernetesError> {
        self.allowed(&[Verb::List, Verb::Watch])?;
        let from = self.page(selector, 1, "").await?.metadata.resource_version.unwrap_or_default();
        follow(Arc::clone(&self.connection), selected(selector), from).await
    }

    async fn page(&self, selector: &str, limit: usize, from: &str) -> Result<ObjectList<Object>, KubernetesError> {
        let from = utf8_percent_encode(from, NON_ALPHANUMERIC);
        let query = format!("limit={limit}&continue={from}&{}", selected(selector));
        let answer = self.connection.call(Verb::List, None, &query, Vec::new()).await?;
        match answer.status {
            StatusCode::OK => answer.read(Verb::List, &self.connection.resource),
            StatusCode::GONE => {
                let why = "too much has changed between two pages".to_owned();
                Err(Verb::List.unanswered(&self.connection.resource, why))
            }
            _ => Err(self.connection.refusal(Verb::List, &answer)),
        }
    }

    /// Whether watching is allowed: the answer begins at once and ends by itself, and its beginning is enough.
    async fn begin(&self, selector: &str) -> Result<(), KubernetesError> {
        self.connection.events(&format!("timeoutSeconds=1&{}", selected(selector))).await.map(drop)
    }

    fn allowed(&self, needed: &[Verb]) -> Result<(), KubernetesError> {
        match self.missing.filter(|missing| needed.contains(missing)) {
            Some(missing) => Err(self.connection.refused(missing, StatusCode::FORBIDDEN, "asked at the start")),
            None => Ok(()),
        }
    }

    /// The object as the server wants it. Those of a list do not say of what kind they are.
    fn body(&self, object: &Object) -> Result<Vec<u8>, KubernetesError> {
        let of = &self.connection.resource;
        let types = TypeMeta { api_version: of.api_version.clone(), kind: of.kind.clone() };
        let object = Object { types: Some(types), ..object.clone() };
        serde_json::to_vec(&object).map_err(|error| KubernetesError::invalid(error.to_string()))
    }

    fn changed(&self, verb: Verb, answer: &Answer, object: &Object) -> Result<Changed, KubernetesError> {
        match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED if verb == Verb::Delete => {
                Ok(Changed::Done(Box::new(object.clone())))
            }
            StatusCode::OK | StatusCode::CREATED => Ok(Changed::Done(answer.read(verb, &self.connection.resource)?)),
            StatusCode::CONFLICT => Ok(Changed::Conflict),
            _ if verb != Verb::Create && answer.is_without(&self.connection.resource) => Ok(Changed::Conflict),
            _ => Err(self.connection.refusal(verb, answer)),
        }
    }
}

/// Name, uid and resourceVersion.
fn identity(object: &Object) -> Result<(&str, &str, &str), KubernetesError> {
    let metadata = &object.metadata;
    match (&metadata.name, &metadata.uid, &metadata.resource_version) {
        (Some(name), Some(uid), Some(version)) => Ok((name, uid, version)),
        _ => Err(KubernetesError::invalid("a change needs name, uid and resourceVersion of what it changes")),
    }
}

fn selected(selector: &str) -> String {
    format!("labelSelector={}", utf8_percent_encode(selector, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases;

    /// Nothing is replaced or deleted without the uid and the version of what is meant.
    #[test]
    fn a_change_names_what_it_changes() {
        let mut object = Object::new("k", &leases());
        assert!(identity(&object).is_err());
        object.metadata.uid = Some("u".to_owned());
        assert!(identity(&object).is_err());
        object.metadata.resource_version = Some("7".to_owned());
        assert_eq!(identity(&object), Ok(("k", "u", "7")));
        object.metadata.uid = None;
        assert!(identity(&object).is_err());
    }
}
