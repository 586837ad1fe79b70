// A socket.io client: client.js URL TRANSPORT... Prints how it connects and what it is answered, a line each, and ends.

const { createHash, randomBytes } = require("node:crypto");
const { io } = require("socket.io-client");

const [url, ...transports] = process.argv.slice(2);
// Cookies are kept, as in browsers.
const socket = io(url, { transports, reconnection: false, withCredentials: true });
const { engine } = socket.io;
const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");

engine.on("open", () => console.log(`open ${engine.transport.name}`));
engine.on("upgradeError", (error) => console.log(`upgrade_error ${error.message}`));

socket.on("connect", async () => {
  console.log("connected");
  if (transports.includes("websocket") && engine.transport.name !== "websocket") {
    await new Promise((done) => engine.once("upgrade", done));
  }
  console.log(`transport ${engine.transport.name}`);
  console.log(`answer ${await socket.emitWithAck("say", "hello")}`);
  const large = randomBytes(500_000);
  console.log(`same ${hash(await socket.emitWithAck("say", large)) === hash(large)}`);
  socket.disconnect();
});

socket.on("connect_error", ({ message, description, context }) => {
  console.log(`connect_error ${message}: ${description} ${context?.responseText}`);
  // Another request may be waiting for a long time yet.
  process.exit();
});

socket.on("disconnect", (reason) => console.log(`disconnected ${reason}`));
