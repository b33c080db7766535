// A forward-protocol server from a package (@fluent-org/logger): prints each event as one JSON line.
// usage: node forward_server.js PORT
const { FluentServer } = require("@fluent-org/logger");

const server = new FluentServer({ listenOptions: { port: Number(process.argv[2]), host: "127.0.0.1" } });
server.on("entry", (tag, time, record) => {
  const seconds = typeof time === "number" ? time : time.seconds ?? time.epoch ?? Number(time);
  const nanos = typeof time === "number" ? 0 : time.nanos ?? time.nano ?? 0;
  process.stdout.write(JSON.stringify({ tag, time: seconds, nanos, record }) + "\n");
});
server.listen().then(() => process.stdout.write("listening\n"));
process.on("SIGTERM", () => process.exit(0));
