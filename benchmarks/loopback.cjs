// Loaded into a Node server that would listen on every address: it listens on the loopback alone.
const { Server } = require("node:net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  const callback = rest.find((item) => typeof item === "function");
  const number = typeof port === "object" ? port.port : port;
  return listen.call(this, { port: Number(number), host: "127.0.0.1" }, callback);
};
