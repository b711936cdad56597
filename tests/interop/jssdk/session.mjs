// Two people meet on a server by matrix-js-sdk: `JSSDK=FOLDER node session.mjs URL`.

import assert from "node:assert/strict";
import { PASSWORD, logger, run, sdk, until } from "./journey.mjs";

logger.setLevel("error", false);

const url = process.argv[2];

async function registered(name) {
    const visitor = sdk.createClient({ baseUrl: url });
    const request = { username: name, password: PASSWORD, initial_device_display_name: "js" };
    let session;
    try {
        await visitor.registerRequest(request);
        assert.fail("registration asks for a stage");
    } catch (error) {
        assert.equal(error.httpStatus, 401);
        assert.deepEqual(error.data.flows.some((flow) => flow.stages.includes("m.login.dummy")), true);
        session = error.data.session;
    }
    return visitor.registerRequest({ ...request, auth: { type: "m.login.dummy", session } });
}

async function person(name) {
    const account = await registered(name);
    const login = await sdk.createClient({ baseUrl: url }).loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: name },
        password: PASSWORD,
    });
    assert.equal(login.user_id, account.user_id);
    const client = sdk.createClient({
        baseUrl: url,
        accessToken: login.access_token,
        userId: login.user_id,
        deviceId: login.device_id,
    });
    await client.startClient({ initialSyncLimit: 10, lazyLoadMembers: true, pollTimeout: 30000 });
    await until(() => client.isInitialSyncComplete(), "the initial sync");
    return client;
}

const texts = (client, room) =>
    (client.getRoom(room)?.getLiveTimeline().getEvents() ?? [])
        .filter((event) => event.getType() === "m.room.message" && !event.isRedacted() && !event.isSending())
        .map((event) => event.getContent().body);

const membership = (client, room, user) => client.getRoom(room)?.getMember(user)?.membership;

let nora, otto, room;

const steps = {
    async "register and log in"() {
        [nora, otto] = await Promise.all([person("nora-js"), person("otto-js")]);
        assert.equal((await nora.whoami()).user_id, nora.getUserId());
        const { devices } = await nora.getDevices();
        assert.equal(devices.length, 2);
    },

    async "create, invite, join"() {
        const made = await nora.createRoom({ name: "Garden", preset: "private_chat", invite: [otto.getUserId()] });
        room = made.room_id;
        await until(() => otto.getRoom(room)?.getMyMembership() === "invite", "the invite");
        assert.equal(otto.getRoom(room).name, "Garden");
        await otto.joinRoom(room);
        await until(() => membership(nora, room, otto.getUserId()) === "join", "who joined");
        await until(() => otto.getRoom(room)?.getMyMembership() === "join", "the joined room");
        await until(() => membership(otto, room, nora.getUserId()) === "join", "who is there");
    },

    async "talk both ways while both wait"() {
        const expected = [];
        for (let number = 0; number < 10; number++) {
            const [speaker, listener] = number % 2 ? [nora, otto] : [otto, nora];
            await speaker.sendTextMessage(room, `message ${number}`);
            expected.push(`message ${number}`);
            await until(() => texts(listener, room).at(-1) === `message ${number}`, `message ${number}`);
        }
        for (const client of [nora, otto]) {
            await until(() => texts(client, room).length === expected.length, "every message once");
            assert.deepEqual(texts(client, room), expected);
        }
    },

    async "page back through history"() {
        for (let number = 0; number < 35; number++) await nora.sendTextMessage(room, `line ${number}`);
        const later = await person("pia-js");
        await nora.invite(room, later.getUserId());
        await later.joinRoom(room);
        await until(() => later.getRoom(room)?.getMyMembership() === "join", "the joined room");
        const timeline = later.getRoom(room).getLiveTimeline();
        for (let page = 0; page < 20; page++) {
            if (!(await later.paginateEventTimeline(timeline, { backwards: true, limit: 10 }))) break;
        }
        const expected = [...Array(10).keys()].map((number) => `message ${number}`);
        for (let number = 0; number < 35; number++) expected.push(`line ${number}`);
        assert.deepEqual(texts(later, room), expected);
        const events = timeline.getEvents();
        assert.equal(new Set(events.map((event) => event.getId())).size, events.length);
        assert.equal(events[0].getType(), "m.room.create");
        later.stopClient();
    },

    async "redact"() {
        const { event_id: mistake } = await nora.sendTextMessage(room, "my password is swordfish");
        await until(() => texts(otto, room).includes("my password is swordfish"), "the mistake");
        await nora.redactEvent(room, mistake, undefined, { reason: "a mistake" });
        const event = otto.getRoom(room).findEventById(mistake);
        await until(() => event.isRedacted(), "the redaction");
        assert.equal(JSON.stringify(event.getContent()).includes("swordfish"), false);
    },

    async "type and read"() {
        await nora.sendTyping(room, true, 20000);
        await until(() => otto.getRoom(room).getMember(nora.getUserId()).typing, "who types");
        await nora.sendTyping(room, false, 0);
        await until(() => !otto.getRoom(room).getMember(nora.getUserId()).typing, "that nobody types");
        const { event_id: said } = await nora.sendTextMessage(room, "read this");
        const event = await until(() => otto.getRoom(room).findEventById(said), "the message");
        await otto.sendReadReceipt(event);
        await until(() => nora.getRoom(room).getEventReadUpTo(otto.getUserId(), true) === said, "the receipt");
        await until(() => nora.getRoom(room).hasUserReadEvent(otto.getUserId(), said), "that it is read");
    },

    async "names, tags and account data"() {
        await nora.setDisplayName("Nora N.");
        await until(() => otto.getRoom(room).getMember(nora.getUserId()).name === "Nora N.", "the new name");
        await nora.setRoomTag(room, "m.favourite", { order: 0.5 });
        await until(() => nora.getRoom(room).tags["m.favourite"], "the tag");
        await nora.setAccountData("org.example.colour", { colour: "green" });
        await until(() => nora.getAccountData("org.example.colour")?.getContent().colour === "green", "account data");
        await nora.setRoomTopic(room, "Plants");
        await until(() => otto.getRoom(room).currentState.getStateEvents("m.room.topic", "")?.getContent().topic === "Plants", "the topic");
    },

    async "leave and log out"() {
        await otto.leave(room);
        await until(() => membership(nora, room, otto.getUserId()) === "leave", "who left");
        await until(() => otto.getRoom(room)?.getMyMembership() === "leave", "the left room");
        await assert.rejects(otto.sendTextMessage(room, "still here?"), (error) => error.errcode === "M_FORBIDDEN");
        await otto.logout(true);
        nora.stopClient();
    },
};

await run(steps);
