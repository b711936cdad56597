// People talk in secret while their servers are killed: `JSSDK=FOLDER node killed.mjs URL URL ROUNDS`.
// {"point": WHAT} is printed where a kill may come soon; everything that fails then is done again, as a person would.

import assert from "node:assert/strict";
import { bootstrap, device, encryption, loggedIn, keysOf, register, restore, texts, undecryptable } from "./crypto.mjs";
import { load, run, until } from "./journey.mjs";
import { note, wasOutOfReach } from "./recording.mjs";

const { EventStatus } = await load("matrix-js-sdk/lib/models/event-status.js");
const [url, otherUrl, rounds] = process.argv.slice(2);
const PATIENCE_MS = 30000;
const devices = [];
const said = [];
let nora, otto, room;

// Somebody in front of the screen does not wait for the client to try again by itself.
setInterval(() => devices.forEach((client) => client.retryImmediately()), 250).unref();

const point = (what) => console.log(JSON.stringify({ point: what }));

async function again(action) {
    for (let times = 0; ; times++) {
        try {
            return await action();
        } catch (error) {
            if (times === 100 || (error.httpStatus && error.httpStatus < 500)) throw error;
            await new Promise((resolve) => setTimeout(resolve, 100));
        }
    }
}

async function say(client, text) {
    said.push(text);
    point(text);
    await client.sendTextMessage(room, text, text).catch(() => {});
    const here = client.getRoom(room);
    const unsent = () =>
        here.getLiveTimeline().getEvents().find((event) => event.status === EventStatus.NOT_SENT && event.getTxnId() === text);
    for (let event; (event = unsent()); ) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        await client.resendEvent(event, here).catch(() => {});
    }
}

const another = async (base, user) => {
    const login = await again(() => loggedIn(base, user));
    point("a new device");
    const client = await device(base, user, login);
    devices.push(client);
    return client;
};

/** Each of these devices knows the keys of all of them. */
const acquainted = () =>
    Promise.all(
        devices.map((client) =>
            until(
                async () => {
                    const known = await Promise.all(
                        devices.map(async (other) =>
                            (await client.getCrypto().getUserDeviceInfo([other.getUserId()]))
                                .get(other.getUserId())
                                ?.has(other.getDeviceId()),
                        ),
                    );
                    return known.every(Boolean);
                },
                "the keys of all devices",
                PATIENCE_MS,
            ),
        ),
    );

async function talk(name) {
    for (let round = 0; round < rounds; round++) {
        await Promise.all(devices.map((client, number) => say(client, `${name} ${round}.${number}`)));
    }
}

const steps = {
    async "two people with two devices each are in an encrypted room"() {
        const tag = Math.random().toString(36).slice(2, 8);
        const [noraId, ottoId] = await Promise.all([register(url, `nora-${tag}`), register(otherUrl, `otto-${tag}`)]);
        nora = await another(url, noraId);
        otto = await another(otherUrl, ottoId);
        await another(url, noraId);
        await another(otherUrl, ottoId);
        await bootstrap(nora);
        const often = encryption({ rotation_period_msgs: 2 });
        room = (await nora.createRoom({ preset: "private_chat", invite: [ottoId], initial_state: [often] })).room_id;
        await until(() => otto.getRoom(room)?.getMyMembership() === "invite", "the invite");
        await otto.joinRoom(room);
        for (const client of devices) {
            await until(() => client.getRoom(room)?.getJoinedMemberCount() === 2, "both members");
        }
        await acquainted();
    },

    async "they talk on"() {
        await talk("first");
    },

    async "each of them comes with a new device"() {
        await another(url, nora.getUserId());
        await another(otherUrl, otto.getUserId());
        await acquainted();
        await talk("second");
    },

    async "everything is read once on every device, and the backup has all of it"() {
        point("the end");
        const all = [...said].sort();
        for (const [number, client] of devices.entries()) {
            const expected = all.filter((text) => number < 4 || text.startsWith("second")).filter(readable(client));
            const name = `device ${number}`;
            const complete = () => includesAll(texts(client, room), expected);
            await until(complete, `all messages on ${name}`, PATIENCE_MS).catch(({ message }) => {
                const seen = texts(client, room);
                const sealed = undecryptable(client, room).map((event) =>
                    [event.getWireContent().device_id, event.decryptionFailureReason, event.getTs()].join(" "),
                );
                const missing = expected.filter((text) => !seen.includes(text));
                throw new Error(JSON.stringify({ message, missing, sealed, devices: devices.map((each) => each.getDeviceId()) }));
            });
        }
        await restoredWhole(devices[4], all.filter(readable(devices[0])));
        for (const [number, client] of devices.entries()) {
            const read = texts(client, room).sort();
            assert.deepEqual(read, all.filter((text) => read.includes(text)), `what device ${number} reads`);
            assert.equal(undecryptable(client, room).length, all.length - read.length);
            const ids = client.getRoom(room).getLiveTimeline().getEvents().map((event) => event.getId());
            assert.equal(new Set(ids).size, ids.length);
        }
    },

    async "a device that is removed is gone for the others"() {
        const gone = devices.pop();
        gone.stopClient();
        await again(() => gone.logout());
        await until(
            async () => !(await again(() => keysOf(nora, gone.getUserId()))).has(gone.getDeviceId()),
            "that it is gone",
            PATIENCE_MS,
        );
    },
};

const includesAll = (read, expected) => expected.every((text) => read.includes(text));

/** Whether a device has to read a text: not if the claim of a key for it failed as its server was just away. */
const readable = (client) => (text) => {
    const sender = devices[Number(text.split(".")[1])];
    const excused = sender !== client && wasOutOfReach(sender, client, text);
    if (excused) note({ excused: text, reader: client.getDeviceId() });
    return !excused;
};

/** The backup grows behind the talk: restore it until it has all of that. */
async function restoredWhole(client, expected) {
    await until(
        async () => {
            await again(() => restore(client));
            return includesAll(texts(client, room), expected);
        },
        "the whole history from the backup",
        PATIENCE_MS,
    ).catch(async ({ message }) => {
        const missing = said.filter((text) => !texts(client, room).includes(text));
        throw new Error(JSON.stringify({ message, missing, sealed: undecryptable(client, room).length }));
    });
}

await run(steps);
