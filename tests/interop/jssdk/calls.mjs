// What Element Call does with a server, by matrix-js-sdk: `JSSDK=FOLDER node calls.mjs URL`.

import assert from "node:assert/strict";
import { PASSWORD, logger, run, sdk, until } from "./journey.mjs";

logger.setLevel("silent", false);

const url = process.argv[2];
const MEMBER = "org.matrix.msc3401.call.member";
let cutOff = false;

async function person(name, fetchFn) {
    const auth = { type: "m.login.dummy" };
    const account = await sdk.createClient({ baseUrl: url }).registerRequest({ username: name, password: PASSWORD, auth });
    const client = sdk.createClient({
        baseUrl: url,
        accessToken: account.access_token,
        userId: account.user_id,
        deviceId: account.device_id,
        fetchFn,
    });
    await client.startClient({ initialSyncLimit: 5, lazyLoadMembers: true, pollTimeout: 30000 });
    await until(() => client.isInitialSyncComplete(), "the initial sync");
    return client;
}

const wire = (...request) => (cutOff ? Promise.reject(new TypeError("no network")) : fetch(...request));
const said = (client) => client.getRoom(room).getLiveTimeline().getEvents().map((event) => event.getContent().body);
const inCall = () =>
    sven
        .getRoom(room)
        .currentState.getStateEvents(MEMBER)
        .filter((event) => Object.keys(event.getContent()).length > 0)
        .map((event) => event.getSender());

let rosa, sven, room;

const steps = {
    async "two people meet where everybody may call"() {
        [rosa, sven] = await Promise.all([person("rosa-call", wire), person("sven-call")]);
        room = (
            await rosa.createRoom({
                preset: "private_chat",
                invite: [sven.getUserId()],
                power_level_content_override: { events: { [MEMBER]: 0 } },
            })
        ).room_id;
        await until(() => sven.getRoom(room)?.getMyMembership() === "invite", "the invite");
        await sven.joinRoom(room);
        await until(() => sven.getRoom(room)?.getMyMembership() === "join", "the joined room");
    },

    async "a delayed message comes, and a cancelled one does not"() {
        const content = (body) => ({ msgtype: "m.text", body });
        const gone = await rosa._unstable_sendDelayedEvent(room, { delay: 1000 }, null, "m.room.message", content("gone"));
        const now = await rosa._unstable_sendDelayedEvent(room, { delay: 60000 }, null, "m.room.message", content("now"));
        await rosa._unstable_sendDelayedEvent(room, { delay: 1500 }, null, "m.room.message", content("later"));
        assert.equal((await rosa._unstable_getDelayedEvents()).delayed_events.length, 3);
        await rosa._unstable_updateDelayedEvent(gone.delay_id, "cancel");
        await rosa._unstable_updateDelayedEvent(now.delay_id, "send");
        await until(() => said(sven).includes("later"), "the delayed message");
        assert.ok(said(sven).includes("now"));
        assert.ok(!said(sven).includes("gone"));
        assert.deepEqual((await rosa._unstable_getDelayedEvents()).delayed_events, []);
    },

    async "who joins a call stays in it while the client is there"() {
        const focus = { type: "livekit", livekit_service_url: "https://livekit.test", livekit_alias: room };
        rosa.matrixRTC.getRoomSession(rosa.getRoom(room)).joinRoomSession([focus], undefined, {
            membershipServerSideExpiryTimeout: 3000,
            membershipKeepAlivePeriod: 500,
        });
        await until(() => inCall().includes(rosa.getUserId()), "the member of the call");
        await new Promise((resolve) => setTimeout(resolve, 5000));
        assert.deepEqual(inCall(), [rosa.getUserId()]);
    },

    async "who loses the connection leaves it"() {
        cutOff = true;
        await until(() => inCall().length === 0, "the end of the membership");
    },
};

await run(steps);
