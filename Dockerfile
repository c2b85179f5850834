FROM node:20-bookworm-slim AS build
WORKDIR /unsay
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts
# The inference runtime comes with its libraries for every system: 220 of 290 MB.
RUN find node_modules/onnxruntime-node/bin -mindepth 2 -maxdepth 2 ! -name linux -exec rm -r {} +

FROM node:20-bookworm-slim
# The drain takes less than the ten seconds that `docker stop` waits. Two heaps for the C library, one for each thread that
# does much: with more of them a watcher on streams takes more memory.
ENV NODE_ENV=production \
    UNSAY_HOST=0.0.0.0 \
    UNSAY_OPS_PORT=9090 \
    UNSAY_DRAIN_SECONDS=8 \
    MALLOC_ARENA_MAX=2 \
    XDG_DATA_HOME=/data \
    XDG_CACHE_HOME=/data/cache
WORKDIR /unsay
COPY --from=build /unsay/package.json ./
COPY --from=build /unsay/node_modules ./node_modules
COPY --from=build /unsay/models ./models
COPY --from=build /unsay/examples ./examples
COPY --from=build /unsay/dist ./dist
# All that is written: the self-signed certificate, whose hash so outlives the container, and the QUIC binding adapted to
# this Debian's C library. The rest of the file system may be read-only.
RUN install -d -o node -g node -m 0700 /data
VOLUME /data
USER node
EXPOSE 4443/udp 4443/tcp
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.UNSAY_OPS_PORT}/health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/src/cli.js"]
CMD ["relay"]
