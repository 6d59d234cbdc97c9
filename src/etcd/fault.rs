//! What can go wrong between here and a member, with the reason in words.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tonic::Code;

use crate::model::text::printable;
use crate::model::units;
use crate::model::{ClusterId, MemberId, MemberState};

/// Why a member could not be asked, or did not answer. The text names the reason and, where there is one,
/// the remedy; it never repeats the endpoint's name and is safe to print.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The host name has no address.
    #[error("cannot resolve {}: {}", printable(.host), printable(.reason))]
    Resolve {
        /// The host name.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// The host answered that nothing listens on the port.
    #[error("nothing listens on {address}")]
    Refused {
        /// Where the connection was tried.
        address: SocketAddr,
    },
    /// No route, no such socket file, and the like.
    #[error("cannot connect: {}", printable(.reason))]
    Unreachable {
        /// The system's words.
        reason: String,
    },
    /// No answer to the TCP handshake: packets are dropped on the way.
    #[error("no answer to a TCP connect within {}: host down, or packets dropped", units::latency(*.after))]
    ConnectTimeout {
        /// How long it was tried.
        after: Duration,
    },
    /// TLS did not come about.
    #[error("{reason}")]
    Tls {
        /// Reason and remedy.
        reason: String,
    },
    /// TCP is accepted, then nothing.
    #[error("accepts TCP, no answer for {}", units::age(*.after))]
    Hung {
        /// Since when.
        after: Duration,
    },
    /// An open connection went silent, and new ones are not accepted either.
    #[error("no answer for {}, and a new TCP connect is not answered either", units::age(*.after))]
    Silent {
        /// Since when.
        after: Duration,
    },
    /// The call's time limit passed; says nothing about whether the server carried it out.
    #[error("no answer within {}", units::latency(*.after))]
    Deadline {
        /// The limit.
        after: Duration,
    },
    /// Authentication, which goes through Raft, was not answered.
    #[error("no answer to authentication within {}: the member hangs, or there is no quorum to ask", units::latency(*.after))]
    AuthSilent {
        /// The limit.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection broke ({}): restarting, or something that is no etcd", printable(.reason))]
    Lost {
        /// What the transport said.
        reason: String,
    },
    /// User, password, token or role.
    #[error("{reason}")]
    Auth {
        /// Reason and remedy.
        reason: String,
    },
    /// The member has no leader to ask.
    #[error("etcd says it has no leader")]
    NoLeader,
    /// A learner refuses all but a few calls.
    #[error("a learner does not answer this call: name a voter with --endpoints")]
    Learner,
    /// A call was not sent, because the way to the member failed before.
    #[error("{fault}; nothing was sent")]
    NotSent {
        /// Why.
        fault: Box<Fault>,
    },
    /// Another member, or a member of another cluster, answers there.
    #[error("member {found} of cluster {cluster} answers there, not the one that was meant")]
    WrongMember {
        /// Who answers.
        found: MemberId,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// Something else listens there.
    #[error("{reason}")]
    NotEtcd {
        /// What it is.
        reason: String,
    },
    /// Somebody did not want it any more.
    #[error("{why}; nothing of it is left")]
    Stopped {
        /// Who.
        why: String,
    },
    /// It was sent, and nobody waits for its end any more.
    #[error("{why}: it is not waited for, and may still be going on")]
    Abandoned {
        /// Who or what did not want to wait.
        why: String,
    },
    /// A file of ours.
    #[error("{}", printable(.reason))]
    Disk {
        /// The file, and what is wrong with it.
        reason: String,
    },
    /// Any other error of the server.
    #[error("etcd answered {code:?}: {}", printable(.message))]
    Rpc {
        /// The gRPC code.
        code: Code,
        /// The server's words.
        message: String,
    },
}

impl Fault {
    /// The state of a member that shows this fault.
    #[must_use]
    pub fn state(&self) -> MemberState {
        match self {
            Self::NotSent { fault } => fault.state(),
            Self::Refused { .. } => MemberState::Refused,
            Self::Resolve { .. }
            | Self::Unreachable { .. }
            | Self::ConnectTimeout { .. }
            | Self::Silent { .. }
            | Self::Lost { .. } => MemberState::Unreachable,
            Self::Tls { .. } => MemberState::Tls,
            Self::Hung { .. } | Self::Deadline { .. } | Self::AuthSilent { .. } => MemberState::Hung,
            Self::Auth { .. } => MemberState::Auth,
            Self::NoLeader => MemberState::NoLeader,
            Self::Learner
            | Self::NotEtcd { .. }
            | Self::WrongMember { .. }
            | Self::Disk { .. }
            | Self::Stopped { .. }
            | Self::Abandoned { .. }
            | Self::Rpc { .. } => MemberState::Failing,
        }
    }

    /// Whether a call that failed so may have been carried out all the same. Once a request has left, only an answer that
    /// refuses it proves that it was not: `etcdserver: request timed out` means that it was proposed and may be committed
    /// yet, and an error of a proxy in between says nothing at all.
    #[must_use]
    pub const fn outcome_unknown(&self) -> bool {
        match self {
            Self::Rpc { code, .. } => !matches!(
                code,
                Code::InvalidArgument
                    | Code::NotFound
                    | Code::AlreadyExists
                    | Code::OutOfRange
                    | Code::FailedPrecondition
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::ResourceExhausted
                    | Code::Unimplemented
                    | Code::DataLoss
            ),
            Self::NotSent { .. }
            | Self::WrongMember { .. }
            | Self::Disk { .. }
            | Self::Stopped { .. }
            | Self::Auth { .. }
            | Self::Learner
            | Self::NoLeader => false,
            _ => true,
        }
    }

    /// Whether somebody else should have been asked, and nothing was done.
    #[must_use]
    pub fn was_for_another(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::NoLeader => true,
            // MoveLeader, right after an election.
            Self::Rpc { code: Code::FailedPrecondition, message } => message.contains("not leader"),
            _ => false,
        }
    }

    /// Whether it may be gone at the next try: a member that left, not a password that is wrong.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NotSent { fault } => fault.may_pass(),
            Self::Auth { .. } | Self::Tls { .. } | Self::WrongMember { .. } | Self::NotEtcd { .. } => false,
            _ => true,
        }
    }

    /// Whether the cluster is out of space: it takes no put and grants no lease.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        // The same code stands for too many requests.
        match self {
            Self::Rpc { code: Code::ResourceExhausted, message } => {
                message.contains("database space exceeded")
            }
            _ => false,
        }
    }

    /// Whether the connection is of no more use.
    #[must_use]
    pub const fn breaks_connection(&self) -> bool {
        !matches!(
            self,
            Self::NoLeader | Self::Learner | Self::Disk { .. } | Self::Stopped { .. } | Self::Rpc { .. }
        )
    }

    /// What a gRPC status from an etcd server means. The messages are etcd's own (api/v3rpc/rpctypes).
    #[must_use]
    pub fn from_grpc(code: Code, message: &str) -> Self {
        let auth = |reason: String| Self::Auth { reason };
        match (code, message) {
            (_, m) if m.contains("user name is empty") => {
                auth("authentication is on: name a user with --user".into())
            }
            (_, m) if m.contains("authentication failed") => auth("user or password is wrong".into()),
            (_, m) if m.contains("authentication is not enabled") => auth(
                "a user was given, but authentication is not enabled on this cluster: leave --user out"
                    .into(),
            ),
            // Up to 3.5 the calls of maintenance say so with the code Unknown.
            (code, m) if code == Code::PermissionDenied || m.contains("permission denied") => {
                auth("permission denied: this call needs a user with the root role".into())
            }
            (Code::Unauthenticated, m) => {
                auth(format!("the server rejects the token or certificate: {}", printable(m)))
            }
            (_, m) if m.contains("no leader") => Self::NoLeader,
            (_, m) if m.contains("not supported for learner") => Self::Learner,
            (Code::Unimplemented, _) => {
                Self::NotEtcd { reason: "something there speaks gRPC, but not etcd's API v3".into() }
            }
            (code, m) => Self::Rpc { code, message: m.to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_words_are_understood() {
        for (code, message, state) in [
            (Code::InvalidArgument, "etcdserver: user name is empty", MemberState::Auth),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                MemberState::Auth,
            ),
            (Code::Unauthenticated, "etcdserver: invalid auth token", MemberState::Auth),
            (Code::PermissionDenied, "etcdserver: permission denied", MemberState::Auth),
            (Code::Unknown, "auth: permission denied", MemberState::Auth),
            (Code::FailedPrecondition, "etcdserver: authentication is not enabled", MemberState::Auth),
            (Code::Unavailable, "etcdserver: no leader", MemberState::NoLeader),
            (Code::Unimplemented, "unknown service etcdserverpb.Maintenance", MemberState::Failing),
            (Code::DataLoss, "etcdserver: corrupt cluster", MemberState::Failing),
        ] {
            assert_eq!(Fault::from_grpc(code, message).state(), state, "{message}");
        }
    }

    #[test]
    fn foreign_words_are_escaped() {
        let fault = Fault::from_grpc(Code::Unknown, "\u{1b}[2Jboo");
        assert!(!fault.to_string().contains('\u{1b}'), "{fault}");
    }
}
