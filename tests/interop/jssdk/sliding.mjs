// A person's client by matrix-js-sdk with its class SlidingSync: `JSSDK=FOLDER node sliding.mjs URL STEPS`.
// STEPS is `before` or `after`: between them the server is started anew. The client is handed over by its position.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { PASSWORD, load, logger, run, sdk, until } from "./journey.mjs";

const { SlidingSync } = await load("matrix-js-sdk/lib/sliding-sync.js");
logger.setLevel("silent", false);

const [url, part, file] = process.argv.slice(2);
const PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575";
const LIST = {
    ranges: [[0, 19]],
    timeline_limit: 10,
    required_state: [["m.room.name", ""], ["m.room.member", "$ME"], ["m.room.member", "$LAZY"]],
};
const ROOM = { timeline_limit: 20, required_state: [["*", "*"]] };

/** The class speaks the shape from before the one that was deployed, where requests remember: say everything each time. */
function speakDeployed(client, position) {
    const lists = {}, subscriptions = {}, extensions = {};
    client.slidingSync = (request, base, abortSignal) => {
        for (const [name, list] of Object.entries(request.lists)) lists[name] = { ...lists[name], ...list };
        Object.assign(subscriptions, request.room_subscriptions);
        for (const room of request.unsubscribe_rooms ?? []) delete subscriptions[room];
        for (const [name, value] of Object.entries(request.extensions)) {
            extensions[name] = { ...extensions[name], ...JSON.parse(JSON.stringify(value ?? {})) };
        }
        const pos = request.pos ?? position.pos;
        const body = { conn_id: "js", txn_id: request.txn_id, lists, room_subscriptions: subscriptions, extensions };
        return client.http
            .authedRequest("POST", "/sync", { timeout: request.timeout, ...(pos && { pos }) }, body, { prefix: PATH, abortSignal })
            .then((answer) => {
                position.pos = answer.pos;
                return answer;
            });
    };
}

async function account(name) {
    const visitor = sdk.createClient({ baseUrl: url });
    const request = { username: name, password: PASSWORD };
    const refused = await visitor.registerRequest(request).catch((error) => error);
    return visitor.registerRequest({ ...request, auth: { type: "m.login.dummy", session: refused.data.session } });
}

function client({ user_id, access_token, device_id }) {
    return sdk.createClient({ baseUrl: url, accessToken: access_token, userId: user_id, deviceId: device_id });
}

async function slide(login, position) {
    const person = client(login);
    speakDeployed(person, position);
    person.sliding = new SlidingSync(url, new Map([["all", LIST]]), ROOM, person, 20000);
    person.toDevice = [];
    person.on("toDeviceEvent", (event) => person.toDevice.push(event.getContent().body));
    await person.startClient({ slidingSync: person.sliding, threadSupport: true });
    await until(() => person.isInitialSyncComplete() || person.getRooms().length > 0 || position.pos, "the first answer");
    return person;
}

const texts = (person, room) =>
    (person.getRoom(room)?.getLiveTimeline().getEvents() ?? [])
        .filter((event) => event.getType() === "m.room.message" && !event.isSending())
        .map((event) => event.getContent().body);

const order = (person) => Object.values(person.sliding.getListData("all").roomIndexToRoomId);

let logins, position = {}, nora, otto, rooms = [];

const before = {
    async "a list shows the latest rooms first"() {
        const tag = Math.random().toString(36).slice(2, 8);
        logins = [await account(`nora-${tag}`), await account(`otto-${tag}`)];
        otto = client(logins[1]);
        for (const name of ["Attic", "Barn", "Cellar"]) {
            const made = await otto.createRoom({ name, preset: "private_chat", invite: [logins[0].user_id] });
            rooms.push(made.room_id);
            await client(logins[0]).joinRoom(made.room_id);
        }
        nora = await slide(logins[0], position);
        await until(() => nora.getRooms().length === 3, "all rooms");
        await until(() => nora.getRoom(rooms[1])?.name === "Barn", "their names");
        await otto.sendTextMessage(rooms[0], "first up");
        await until(() => texts(nora, rooms[0]).includes("first up"), "the message");
        await until(() => order(nora)[0] === rooms[0], "the room at the top");
        assert.equal(nora.sliding.getListData("all").joinedCount, 3);
    },

    async "an invite comes and is accepted"() {
        const made = await otto.createRoom({ name: "Den", preset: "private_chat", invite: [logins[0].user_id] });
        await until(() => nora.getRoom(made.room_id)?.getMyMembership() === "invite", "the invite");
        await nora.joinRoom(made.room_id);
        await otto.sendTextMessage(made.room_id, "welcome");
        await until(() => texts(nora, made.room_id).includes("welcome"), "what is said there");
        rooms.push(made.room_id);
    },

    async "a room that is subscribed to comes whole"() {
        await nora.sliding.modifyRoomSubscriptions(new Set([rooms[2]]));
        await until(() => nora.getRoom(rooms[2]).currentState.getStateEvents("m.room.power_levels", ""), "all of its state");
        await otto.sendTextMessage(rooms[2], "down here");
        await until(() => texts(nora, rooms[2]).includes("down here"), "what is said there");
    },

    async "typing, receipts, account data and messages to the device arrive"() {
        await otto.sendTyping(rooms[2], true, 20000);
        await until(() => nora.getRoom(rooms[2]).getMember(otto.getUserId())?.typing, "that otto types");
        await otto.sendTyping(rooms[2], false, 0);
        await until(() => !nora.getRoom(rooms[2]).getMember(otto.getUserId()).typing, "that otto types no more");
        const last = nora.getRoom(rooms[2]).getLiveTimeline().getEvents().at(-1);
        await otto.sendReadReceipt(last);
        await until(() => nora.getRoom(rooms[2]).hasUserReadEvent(otto.getUserId(), last.getId()), "that otto read");
        await nora.setRoomTag(rooms[2], "m.favourite", { order: 0.5 });
        await until(() => nora.getRoom(rooms[2]).tags["m.favourite"], "the tag");
        await nora.setAccountData("a.setting", { on: true });
        await until(() => nora.getAccountData("a.setting")?.getContent().on, "the setting");
        const message = new Map([[nora.getUserId(), new Map([[logins[0].device_id, { body: "psst" }]])]]);
        await otto.sendToDevice("a.message", message);
        await until(() => nora.toDevice.includes("psst"), "the message to the device");
    },

    async "the position is handed on"() {
        nora.sliding.stop();
        await otto.sendTextMessage(rooms[1], "while nora is away");
        writeFileSync(file, JSON.stringify({ logins, position, rooms }));
    },
};

const after = {
    async "the position is good after a restart"() {
        ({ logins, position, rooms } = JSON.parse(readFileSync(file)));
        otto = client(logins[1]);
        const asked = [];
        nora = client(logins[0]);
        speakDeployed(nora, position);
        nora.sliding = new SlidingSync(url, new Map([["all", LIST]]), ROOM, nora, 20000);
        nora.sliding.on("SlidingSync.RoomData", (room, data) => asked.push([room, data]));
        nora.sliding.start();
        const said = await until(() => asked.find(([room]) => room === rooms[1]), "what was said meanwhile");
        assert.equal(said[1].initial ?? false, false);
        assert.deepEqual(said[1].timeline.map((event) => event.content.body), ["while nora is away"]);
        assert.deepEqual([...new Set(asked.map(([room]) => room))], [rooms[1]]);
        nora.sliding.stop();
    },

    async "a client that begins anew sees everything"() {
        nora = await slide(logins[0], {});
        await until(() => nora.getRooms().length === 4, "all rooms");
        await until(() => texts(nora, rooms[1]).includes("while nora is away"), "what was said");
        await until(() => nora.getAccountData("a.setting")?.getContent().on, "the setting");
        await until(() => nora.getRoom(rooms[2]).tags["m.favourite"], "the tag");
        await nora.leave(rooms[0]);
        await until(() => nora.getRoom(rooms[0])?.getMyMembership() !== "join", "that the room was left");
    },
};

await run(part === "before" ? before : after);
