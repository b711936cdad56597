// People talk in secret by matrix-js-sdk with its Rust crypto: `JSSDK=FOLDER node encrypted.mjs URL [URL]`.
// With a second URL, the second person is on another server.

import assert from "node:assert/strict";
import { bootstrap, device, encryption, keysOf, register, restore, texts, undecryptable } from "./crypto.mjs";
import { load, run, until, within } from "./journey.mjs";

const { CryptoEvent, VerifierEvent, VerificationPhase } = await load(
    "matrix-js-sdk/lib/crypto-api/index.js",
);
const [url, otherUrl = process.argv[2]] = process.argv.slice(2);

async function say(client, room, text, ...listeners) {
    await client.sendTextMessage(room, text);
    for (const listener of listeners) {
        await until(() => texts(listener, room).includes(text), `${text} on ${listener.getUserId()}`);
    }
}

async function verify(one, other) {
    const received = new Promise((resolve) => other.once(CryptoEvent.VerificationRequestReceived, resolve));
    const request = await within(
        one.getCrypto().requestDeviceVerification(other.getUserId(), other.getDeviceId()),
        "an answer to the request",
    );
    const incoming = await within(received, "the request for a verification");
    await within(incoming.accept(), "an answer to the acceptance");
    await until(() => request.phase === VerificationPhase.Ready, "that it is accepted");
    const verifier = await within(request.startVerification("m.sas.v1"), "the start");
    const answering = await until(() => incoming.verifier, "the beginning");
    const emoji = [];
    for (const each of [verifier, answering]) {
        each.on(VerifierEvent.ShowSas, async (sas) => {
            emoji.push(JSON.stringify(sas.sas.emoji));
            await until(() => emoji.length === 2, "both signs");
            await sas.confirm();
        });
    }
    await within(Promise.all([verifier.verify(), answering.verify()]), "the end of the verification");
    assert.equal(emoji[0], emoji[1]);
}

const tag = Math.random().toString(36).slice(2, 8);
let nora, nora2, nora3, otto, otto2, pia, room;

const steps = {
    async "two people with two devices each"() {
        const [noraId, ottoId] = await Promise.all([register(url, `nora-${tag}`), register(otherUrl, `otto-${tag}`)]);
        [nora, nora2] = [await device(url, noraId), await device(url, noraId)];
        [otto, otto2] = [await device(otherUrl, ottoId), await device(otherUrl, ottoId)];
        assert.equal((await keysOf(otto, noraId)).size, 2);
        assert.equal((await keysOf(nora, ottoId)).size, 2);
    },

    async "an encrypted room is read on all devices"() {
        const made = await nora.createRoom({ preset: "private_chat", invite: [otto.getUserId()], initial_state: [encryption()] });
        room = made.room_id;
        await until(() => otto.getRoom(room)?.getMyMembership() === "invite", "the invite");
        await otto.joinRoom(room);
        for (const client of [nora, nora2, otto, otto2]) {
            await until(() => client.getRoom(room)?.getJoinedMemberCount() === 2, "both members");
        }
        await say(nora, room, "hello otto", nora2, otto, otto2);
        await say(otto2, room, "hello nora", nora, nora2, otto);
        for (let number = 0; number < 10; number++) {
            await say(number % 2 ? nora : otto, room, `secret ${number}`, nora, nora2, otto, otto2);
        }
    },

    async "cross-signing, secret storage and a key backup are set up"() {
        const crypto = nora.getCrypto();
        await bootstrap(nora);
        assert.equal(await crypto.isCrossSigningReady(), true);
        assert.equal(await crypto.isSecretStorageReady(), true);
        await until(async () => (await nora.getKeyBackupVersion())?.count >= 2, "the backup");
        await until(async () => (await otto.getCrypto().getDeviceVerificationStatus(nora.getUserId(), nora.getDeviceId()))?.signedByOwner, "the signed device");
        const status = await otto.getCrypto().getDeviceVerificationStatus(nora.getUserId(), nora2.getDeviceId());
        assert.equal(status.signedByOwner, false);
    },

    async "devices verify each other"() {
        await verify(nora, nora2);
        await until(async () => (await otto.getCrypto().getDeviceVerificationStatus(nora.getUserId(), nora2.getDeviceId()))?.signedByOwner, "the second signed device");
    },

    async "a new device restores the backup and reads the history"() {
        nora3 = await device(url, nora.getUserId());
        await until(() => undecryptable(nora3, room).length > 0 || texts(nora3, room).length > 0, "the history");
        const restored = await restore(nora3);
        assert.equal(restored.imported, restored.total);
        await until(() => texts(nora3, room).length === texts(nora, room).length, "the decrypted history");
        assert.deepEqual(undecryptable(nora3, room), []);
        await say(otto, room, "welcome, new device", nora, nora2, nora3);
    },

    async "somebody who joins later reads what is said from then on"() {
        pia = await device(url, await register(url, `pia-${tag}`));
        await nora.invite(room, pia.getUserId());
        await until(() => pia.getRoom(room)?.getMyMembership() === "invite", "the invite");
        await pia.joinRoom(room);
        await until(() => pia.getCrypto().isEncryptionEnabledInRoom(room), "that the room is encrypted");
        for (const client of [nora, otto]) {
            await until(() => client.getRoom(room).getJoinedMemberCount() === 3, "who joined");
        }
        await say(otto, room, "hello pia", pia, nora, nora2, nora3);
        await say(pia, room, "hello all", otto, otto2, nora);
    },

    async "a device that is removed gets no further keys"() {
        const gone = otto2.getDeviceId();
        otto2.stopClient();
        await otto2.logout();
        await until(async () => !(await keysOf(nora, otto.getUserId())).has(gone), "that it is gone");
        await say(nora, room, "without it", otto, pia);
    },

    async "nothing is undecryptable"() {
        for (const client of [nora, nora2, nora3, otto]) {
            assert.deepEqual(undecryptable(client, room).map((event) => event.getId()), []);
        }
    },
};

await run(steps);
