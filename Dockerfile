# skip-heapprof as a base for images of programs, or to copy from:
#
#   COPY --from=skip-heapprof /opt/skip-heapprof /usr/local
#
# The files need glibc 2.17 or later and nothing else. Build it in a folder with the tarball of a release, or in the
# repository after scripts/release:
#
#   docker build --build-arg DIST=target/dist -t skip-heapprof .
FROM debian:12-slim AS unpacked
ARG DIST=.
COPY ${DIST}/skip-heapprof-*-x86_64-linux.tar.gz /tmp/
RUN mkdir /tmp/release \
    && tar -xzf /tmp/skip-heapprof-*-x86_64-linux.tar.gz -C /tmp/release --strip-components 1 \
    && /tmp/release/install.sh /opt/skip-heapprof

FROM debian:12-slim
COPY --from=unpacked /opt/skip-heapprof /opt/skip-heapprof
ENV PATH=/opt/skip-heapprof/bin:$PATH
# As a sidecar that shares the process namespace: `skip-heapprof top PID`.
ENTRYPOINT ["skip-heapprof"]
CMD ["--help"]
