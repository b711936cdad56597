// What the journeys by matrix-js-sdk have in common. The library is in the folder that $JSSDK names.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.env.JSSDK}/`));

/** A module of the library or of what it needs. */
export const load = (name) => import(pathToFileURL(require.resolve(name)));

export const sdk = await load("matrix-js-sdk");
export const { logger } = await load("matrix-js-sdk/lib/logger.js");
export const PASSWORD = "correct horse battery";
export const PATIENCE_MS = 20000;

/** What a condition gives once it holds. */
export async function until(condition, what, patience = PATIENCE_MS) {
    const end = Date.now() + patience;
    for (;;) {
        const found = await condition();
        if (found) return found;
        if (Date.now() > end) throw new Error(`never saw ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

/** What a promise gives, or an error that says what did not come. */
export function within(promise, what, patience = PATIENCE_MS) {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`never came: ${what}`)), patience));
    return Promise.race([promise, late]);
}

/** A client that syncs, for who is logged in. */
export async function started(url, account) {
    const client = sdk.createClient({
        baseUrl: url,
        accessToken: account.access_token,
        userId: account.user_id,
        deviceId: account.device_id,
    });
    await client.startClient({ initialSyncLimit: 5, lazyLoadMembers: true, pollTimeout: 30000, threadSupport: true });
    await until(() => client.isInitialSyncComplete(), "the initial sync");
    return client;
}

/** Somebody new, and the client that they use. */
export async function person(url, name) {
    const auth = { type: "m.login.dummy" };
    const account = await sdk.createClient({ baseUrl: url }).registerRequest({ username: name, password: PASSWORD, auth });
    return started(url, account);
}

/** Do steps in order. Each prints {"step": NAME, "problem": TEXT} on a line; the first problem ends the process. */
export async function run(steps) {
    for (const [name, step] of Object.entries(steps)) {
        let problem = "";
        try {
            await within(step(), `the end of "${name}"`, 4 * PATIENCE_MS);
        } catch (error) {
            problem = error.stack ?? String(error);
        }
        console.log(JSON.stringify({ step: name, problem }));
        if (problem) process.exit(1);
    }
    process.exit(0);
}
