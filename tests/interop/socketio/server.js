// A socket.io server on a port that it prints: says what it was told.

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const server = createServer();
const io = new Server(server);
io.on("connection", (socket) => socket.on("say", (what, answer) => answer(what)));
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
