// What devices ask their servers and are told: what becomes of keys, for judging what somebody could not read. With
// $JSSDK_LOG everything goes to that file, too, an object of JSON a line.

import { appendFileSync } from "node:fs";

const file = process.env.JSSDK_LOG;

/** Claims of one-time keys: by which device, for which, servers that could not be asked, and when it was answered. */
export const claims = [];
/** Messages by Olm: by which device, to which, and when they were sent first. */
export const sealed = [];
/** When events were sent first, by transaction ID. */
export const sentAt = new Map();

/** A line for the file. */
export const note = (line) => file && appendFileSync(file, `${JSON.stringify({ at: Date.now(), ...line })}\n`);

/** `fetch` for a device, which remembers. */
export const recorded = (by) => async (url, options) => {
    const asked = { by, method: options?.method, url: String(url), asked: options?.body };
    note({ ...asked, begins: true });
    begun(by, asked);
    try {
        const answer = await fetch(url, options);
        const told = await answer.text();
        note({ ...asked, status: answer.status, told });
        if (answer.ok) answered(by, asked, told);
        return new Response(told, { status: answer.status, headers: answer.headers });
    } catch (error) {
        note({ ...asked, failed: String(error.cause ?? error) });
        throw error;
    }
};

function begun(by, { url, asked }) {
    const { pathname } = new URL(url);
    const txn = decodeURIComponent(pathname.split("/").at(-1));
    if (pathname.includes("/send/m.room.encrypted/") && !sentAt.has(txn)) sentAt.set(txn, Date.now());
    if (pathname.includes("/sendToDevice/m.room.encrypted/")) {
        for (const devices of Object.values(JSON.parse(asked).messages)) {
            for (const to of Object.keys(devices)) sealed.push({ by, to, at: Date.now() });
        }
    }
}

function answered(by, { url, asked }, told) {
    if (!new URL(url).pathname.endsWith("/keys/claim")) return;
    const wanted = Object.values(JSON.parse(asked).one_time_keys).flatMap((devices) => Object.keys(devices));
    claims.push({ by, wanted, failed: Object.keys(JSON.parse(told).failures ?? {}), at: Date.now() });
}

/**
 * Whether it is on record that a device could not read an event because the sender's server was told of no key for it:
 * the sender's last claim before the event named its server as out of reach, and nothing was encrypted for it before.
 */
export function wasOutOfReach(sender, reader, txn) {
    const at = sentAt.get(txn);
    const here = reader.getDeviceId();
    const claim = claims.findLast((each) => each.by === sender.getDeviceId() && each.wanted.includes(here) && each.at <= at);
    const server = reader.getUserId().replace(/^[^:]*:/, "");
    const before = sealed.some((each) => each.by === sender.getDeviceId() && each.to === here && each.at <= at);
    return Boolean(claim?.failed.includes(server)) && !before;
}
