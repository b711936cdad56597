// A megolm session that is given to a device twice, the second time from its second message on: what the device can
// read when both come in one answer of /sync, and when they come in two. `JSSDK=FOLDER node reshared.mjs`.
//
// Nothing goes over a network here; the machines are those that matrix-js-sdk works with.

import assert from "node:assert/strict";
import { load, run } from "./journey.mjs";

const { default: rust } = await load("@matrix-org/matrix-sdk-crypto-wasm");
await rust.initAsync();

const ROOM = "!room:example.org";
const keys = {};

class Device {
    constructor(user) {
        this.user = user;
        this.inbox = [];
    }

    async open() {
        this.machine = await rust.OlmMachine.initialize(new rust.UserId(this.user), new rust.DeviceId("D"));
        return this;
    }

    /** Do what the machine wants done: upload keys, ask for those of others. */
    async work() {
        for (const request of await this.machine.outgoingRequests()) {
            const body = JSON.parse(request.body);
            if (request.type === rust.RequestType.KeysUpload) {
                keys[this.user] = { ...keys[this.user], ...(body.device_keys && { device: body.device_keys }) };
                keys[this.user].oneTime = Object.entries(body.one_time_keys ?? {});
                await this.done(request, { one_time_key_counts: { signed_curve25519: 50 } });
            } else if (request.type === rust.RequestType.KeysQuery) {
                const found = Object.keys(body.device_keys).map((user) => [user, { D: keys[user].device }]);
                await this.done(request, { device_keys: Object.fromEntries(found), failures: {} });
            }
        }
    }

    done = (request, answer) => this.machine.markRequestAsSent(request.id, request.type, JSON.stringify(answer));

    /** Have an Olm session with each of them, by a one-time key if there is none. */
    async meet(...users) {
        const wanted = () => users.map((user) => new rust.UserId(user));
        await this.machine.updateTrackedUsers(wanted());
        await this.work();
        const claim = await this.machine.getMissingSessions(wanted());
        if (!claim) return;
        const given = users.map((user) => [user, { D: Object.fromEntries([keys[user].oneTime.shift()]) }]);
        await this.done(claim, { one_time_keys: Object.fromEntries(given), failures: {} });
    }

    /** Give the key of the room's session to whom it is owed; the messages by which that is done. */
    async share(user) {
        const settings = new rust.EncryptionSettings();
        settings.sharingStrategy = rust.CollectStrategy.deviceBasedStrategy(false, false);
        const requests = await this.machine.shareRoomKey(new rust.RoomId(ROOM), [new rust.UserId(user)], settings);
        const events = [];
        for (const request of requests) {
            const content = JSON.parse(request.body).messages[user]?.D;
            if (content) events.push({ sender: this.user, type: request.event_type, content });
            await this.done(request, {});
        }
        return events;
    }

    async encrypt(body) {
        const text = JSON.stringify({ msgtype: "m.text", body });
        const content = JSON.parse(await this.machine.encryptRoomEvent(new rust.RoomId(ROOM), "m.room.message", text));
        const event_id = `$${body}`;
        return { type: "m.room.encrypted", sender: this.user, room_id: ROOM, event_id, origin_server_ts: 1, content };
    }

    /** Take in what one answer of /sync delivers. */
    hear(events) {
        const counts = new Map([["signed_curve25519", 50]]);
        return this.machine.receiveSyncChanges(JSON.stringify(events), new rust.DeviceLists(), counts, new Set());
    }

    /** Whether the device reads an event. */
    async reads(event) {
        const settings = new rust.DecryptionSettings(rust.TrustRequirement.Untrusted);
        try {
            await this.machine.decryptRoomEvent(JSON.stringify(event), new rust.RoomId(ROOM), settings);
            return true;
        } catch (error) {
            return false;
        }
    }
}

/** Both begin an Olm session with the other at once; the sender hears of the other's before its second message. */
async function story(deliver) {
    const sender = await new Device("@sender:example.org").open();
    const reader = await new Device("@reader:example.org").open();
    await Promise.all([sender.work(), reader.work()]);
    await Promise.all([sender.meet(reader.user), reader.meet(sender.user)]);
    const given = await sender.share(reader.user);
    const first = await sender.encrypt("first");
    await sender.hear(await reader.share(sender.user));
    const again = await sender.share(reader.user);
    const second = await sender.encrypt("second");
    const kinds = [given, again].map(([event]) => Object.values(event.content.ciphertext)[0].type);
    assert.deepEqual(kinds, [0, 1], "the session of the sender, then that of the reader");
    await deliver(reader, given, again);
    return [await reader.reads(first), await reader.reads(second)];
}

await run({
    async "in two answers both messages are read"() {
        const read = await story(async (reader, given, again) => {
            await reader.hear(given);
            await reader.hear(again);
        });
        assert.deepEqual(read, [true, true]);
    },

    async "in one answer the first message is lost"() {
        assert.deepEqual(await story((reader, given, again) => reader.hear([...given, ...again])), [false, true]);
    },
});
