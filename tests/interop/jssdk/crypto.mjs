// People and devices with the Rust crypto of matrix-js-sdk, and what can be read on them.

import { PASSWORD, load, logger, sdk, until } from "./journey.mjs";
import { note, recorded } from "./recording.mjs";

logger.setLevel("silent", false);
for (const name of ["log", "warn", "info", "debug", "error"]) {
    const print = console[name];
    console[name] = (...said) =>
        /^\{"(step|point)"/.test(String(said[0])) ? print(...said) : note({ said: said.map(String).join(" ") });
}

/** The keys of people's secret storage. */
export const secrets = new Map();

/** A new account; its ID. */
export async function register(base, name) {
    const visitor = sdk.createClient({ baseUrl: base });
    const request = { username: name, password: PASSWORD, inhibit_login: true };
    const refused = await visitor.registerRequest(request).catch((error) => error);
    const auth = { type: "m.login.dummy", session: refused.data.session };
    return (await visitor.registerRequest({ ...request, auth })).user_id;
}

/** A login with a password. */
export const loggedIn = (base, user) =>
    sdk.createClient({ baseUrl: base }).loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user },
        password: PASSWORD,
    });

/** A client that syncs on a new device, whose keys are uploaded. */
export async function device(base, user, login = undefined) {
    login ??= await loggedIn(base, user);
    const client = sdk.createClient({
        baseUrl: base,
        accessToken: login.access_token,
        userId: login.user_id,
        deviceId: login.device_id,
        fetchFn: recorded(login.device_id),
        verificationMethods: ["m.sas.v1"],
        cryptoCallbacks: {
            getSecretStorageKey: async ({ keys }) => {
                const id = Object.keys(keys).find((key) => secrets.has(user));
                return id ? [id, secrets.get(user)] : null;
            },
            cacheSecretStorageKey: () => {},
        },
    });
    await client.initRustCrypto({ useIndexedDB: false });
    await client.startClient({ initialSyncLimit: 100, pollTimeout: 30000 });
    await until(() => client.isInitialSyncComplete(), "the initial sync");
    const own = () => keysOf(client, login.user_id).catch(() => new Map());
    await until(async () => (await own()).has(login.device_id), "the keys of the device");
    return client;
}

/** A user's devices, as the server tells of them now. */
export const keysOf = async (client, user) =>
    (await client.getCrypto().getUserDeviceInfo([user], true)).get(user) ?? new Map();

const messages = (client, room) =>
    (client.getRoom(room)?.getLiveTimeline().getEvents() ?? []).filter(
        (event) => event.getWireType() === "m.room.encrypted" && !event.isSending(),
    );

/** What is read in a room, oldest first. */
export const texts = (client, room) =>
    messages(client, room)
        .filter((event) => event.getType() === "m.room.message" && !event.isDecryptionFailure())
        .map((event) => event.getContent().body);

/** Events of a room that cannot be read. */
export const undecryptable = (client, room) => messages(client, room).filter((event) => event.isDecryptionFailure());

/** Have cross-signing, a secret storage and a key backup made. */
export async function bootstrap(client) {
    const crypto = client.getCrypto();
    await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: (upload) => upload(null) });
    await crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => {
            const key = await crypto.createRecoveryKeyFromPassphrase();
            secrets.set(client.getUserId(), key.privateKey);
            return key;
        },
        setupNewSecretStorage: true,
        setupNewKeyBackup: true,
    });
}

/** Let a new device have its keys signed and the backup restored; how much of it came. */
export async function restore(client) {
    const crypto = client.getCrypto();
    await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: () => {
            throw new Error("new keys");
        },
    });
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    return crypto.restoreKeyBackup();
}

/** The wish for a room that is encrypted from the beginning. */
export const encryption = (content = {}) => ({
    type: "m.room.encryption",
    state_key: "",
    content: { algorithm: "m.megolm.v1.aes-sha2", ...content },
});
