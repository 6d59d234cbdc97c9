//! A real cluster of etcd processes on loopback.
