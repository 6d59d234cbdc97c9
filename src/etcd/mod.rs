//! The only user of etcd-client: one connection per member, TLS, deadlines, typed errors, `/metrics`.
