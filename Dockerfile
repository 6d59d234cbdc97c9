# etcdtop as an image: one static program, the certificates of public authorities, a user; no shell, no package, no library.
#
#   docker build -t etcdtop:0.1.0 .
#   docker run --rm -it --network host -v /etc/kubernetes/pki/etcd:/pki:ro --user 0:0 etcdtop:0.1.0 \
#     --endpoints https://127.0.0.1:2379 --cacert /pki/ca.crt --cert /pki/healthcheck-client.crt --key /pki/healthcheck-client.key
#
# kubeadm's keys are readable to root alone, hence --user there; the image's own user is 65532.

FROM rust:1-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
 && apt-get install -y --no-install-recommends protobuf-compiler libprotobuf-dev ca-certificates \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Static with glibc, not with musl: it is the libc that every test of etcdtop runs with, and the target is the host's own on every
# architecture, with no further compiler. What is said against it, that names are resolved by plugins loaded at run time, is over
# since glibc 2.34: files and DNS are built in. --target keeps the flag away from build scripts and procedural macros, which
# cannot be static.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin etcdtop --target "$target" \
 && install -D -m 0755 "target/$target/release/etcdtop" /image/usr/bin/etcdtop \
 && ldd /image/usr/bin/etcdtop 2>&1 | grep -q "statically linked"
# kubectl-etcdtop for who copies it out of the image; a folder for journal and snapshots that the user may write to; /tmp.
RUN ln -s etcdtop /image/usr/bin/kubectl-etcdtop \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && printf 'root:x:0:0:root:/:/nonexistent\netcdtop:x:65532:65532:etcdtop:/var/lib/etcdtop:/nonexistent\n' > /image/etc/passwd \
 && printf 'root:x:0:\netcdtop:x:65532:\n' > /image/etc/group \
 && install -d -m 0755 -o 65532 -g 65532 /image/var/lib/etcdtop \
 && install -d -m 1777 /image/tmp

FROM scratch
LABEL org.opencontainers.image.title="etcdtop" \
      org.opencontainers.image.description="The terminal cockpit for etcd: live health, diagnosis and safe operations" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/ /
# Journal and snapshots in /var/lib/etcdtop, settings in /etc/etcdtop/config.toml if there is one; nothing beyond ASCII is lost.
ENV XDG_STATE_HOME=/var/lib XDG_DATA_HOME=/var/lib XDG_CONFIG_HOME=/etc LANG=C.UTF-8
# By number: Kubernetes can tell from it that it is not root.
USER 65532:65532
# It ends at a safe point: give it time (docker stop --time, terminationGracePeriodSeconds).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/etcdtop"]
