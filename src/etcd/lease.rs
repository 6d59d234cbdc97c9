//! A lock in the cluster: a key of our own under a lease, which goes when nobody renews it.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, Error, PutOptions, Txn, TxnOp, TxnOpResponse};

use super::connection::Connection;
use super::fault::Fault;
use super::permit::Permit;

/// A lease, by etcd's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(i64);

/// Whose lock it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locked {
    /// Ours, as long as the lease is renewed.
    Ours(Lease),
    /// Somebody else's: what that one wrote into it.
    Theirs(String),
}

impl Connection {
    /// Puts `key` under a new lease, if there is no such key.
    ///
    /// # Errors
    /// The fault. What may have been put all the same goes with its lease.
    pub async fn lock(
        &self,
        permit: &Permit,
        key: &str,
        holder: &str,
        ttl: Duration,
        limit: Duration,
    ) -> Result<Locked, Fault> {
        let mut leases = self.leases();
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let granted = self.change(permit, limit, async move { leases.grant(seconds, None).await }).await?;
        let lease = Lease(granted.id());
        let mut kv = self.kv();
        let put = Txn::new()
            .when([Compare::create_revision(key, CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key, holder, Some(PutOptions::new().with_lease(lease.0)))])
            .or_else([TxnOp::get(key, None)]);
        let reply = match self.change(permit, limit, async move { kv.txn(put).await }).await {
            Ok(reply) => reply,
            Err(fault) => {
                // It goes by itself, too, only later.
                let _ = self.unlock(permit, lease, limit).await;
                return Err(fault);
            }
        };
        if reply.succeeded() {
            return Ok(Locked::Ours(lease));
        }
        let _ = self.unlock(permit, lease, limit).await;
        let theirs = reply.op_responses().into_iter().find_map(|r| match r {
            TxnOpResponse::Get(got) => {
                got.kvs().first().map(|kv| String::from_utf8_lossy(kv.value()).into_owned())
            }
            _ => None,
        });
        Ok(Locked::Theirs(theirs.unwrap_or_default()))
    }

    /// What is written into a lock, if there is one.
    ///
    /// # Errors
    /// The fault.
    pub async fn locked_by(&self, key: &str, limit: Duration) -> Result<Option<String>, Fault> {
        let mut kv = self.kv();
        let reply = self.call(limit, async move { kv.get(key, None).await }).await?;
        Ok(reply.kvs().first().map(|kv| String::from_utf8_lossy(kv.value()).into_owned()))
    }

    /// Renews a lease; whether it was still there.
    ///
    /// # Errors
    /// The fault.
    pub async fn keep_lock(&self, permit: &Permit, lease: Lease, limit: Duration) -> Result<bool, Fault> {
        let mut leases = self.leases();
        let renewed = async move {
            // The first answer is waited for in there already.
            match leases.keep_alive(lease.0).await {
                Ok(_) => Ok(true),
                Err(Error::LeaseKeepAliveError(why)) if why.contains("lease not found") => Ok(false),
                Err(e) => Err(e),
            }
        };
        self.change(permit, limit, renewed).await
    }

    /// Gives a lease back, and the key with it.
    ///
    /// # Errors
    /// The fault; then it goes when its time is over.
    pub async fn unlock(&self, permit: &Permit, lease: Lease, limit: Duration) -> Result<(), Fault> {
        let mut leases = self.leases();
        self.change(permit, limit, async move { leases.revoke(lease.0).await }).await.map(drop)
    }
}
