// Two people edit, react and talk in threads by matrix-js-sdk: `JSSDK=FOLDER node relations.mjs URL`.

import assert from "node:assert/strict";
import { PASSWORD, logger, person, run, sdk, started, until } from "./journey.mjs";

logger.setLevel("error", false);

const url = process.argv[2];

const edit = (client, room, event, text) =>
    client.sendEvent(room, "m.room.message", {
        "msgtype": "m.text",
        "body": `* ${text}`,
        "m.new_content": { msgtype: "m.text", body: text },
        "m.relates_to": { rel_type: "m.replace", event_id: event },
    });

const find = (client, room, event) => client.getRoom(room)?.findEventById(event);

let rosa, sven, room, message, root, last;

const steps = {
    async "edits are shown"() {
        [rosa, sven] = await Promise.all([person(url, "rosa-js"), person(url, "sven-js")]);
        room = (await rosa.createRoom({ preset: "private_chat", invite: [sven.getUserId()] })).room_id;
        await until(() => sven.getRoom(room)?.getMyMembership() === "invite", "the invite");
        await sven.joinRoom(room);
        await until(() => sven.getRoom(room)?.getMyMembership() === "join", "the joined room");
        message = (await rosa.sendTextMessage(room, "helo")).event_id;
        await edit(rosa, room, message, "hello");
        await until(() => find(sven, room, message)?.getContent().body === "hello", "the edit");
    },

    async "reactions are counted, once a person"() {
        const react = (client) =>
            client.sendEvent(room, "m.reaction", {
                "m.relates_to": { rel_type: "m.annotation", event_id: message, key: "👍" },
            });
        await react(rosa);
        await react(sven);
        await assert.rejects(react(sven), (error) => error.errcode === "M_DUPLICATE_ANNOTATION");
        const reactions = () =>
            rosa.getRoom(room).relations.getChildEventsForEvent(message, "m.annotation", "m.reaction");
        await until(() => reactions()?.getSortedAnnotationsByKey()?.[0]?.[1].size === 2, "two reactions");
        const { events } = await rosa.relations(room, message, "m.annotation", "m.reaction");
        assert.equal(events.length, 2);
    },

    async "a thread is shown on both sides"() {
        root = (await rosa.sendTextMessage(room, "shall we talk?")).event_id;
        await until(() => find(sven, room, root), "the root");
        for (let number = 0; number < 3; number++) {
            const speaker = number % 2 ? rosa : sven;
            last = (await speaker.sendTextMessage(room, root, `reply ${number}`)).event_id;
        }
        for (const client of [rosa, sven]) {
            const thread = await until(() => client.getRoom(room).getThread(root), "the thread");
            await until(() => thread.length === 3 && thread.replyToEvent?.getId() === last, "all replies");
            await until(() => thread.hasCurrentUserParticipated, "that they took part");
        }
    },

    async "who comes later lists threads and sees edits"() {
        for (let number = 0; number < 15; number++) await rosa.sendTextMessage(room, `line ${number}`);
        const login = await sdk.createClient({ baseUrl: url }).loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: "sven-js" },
            password: PASSWORD,
        });
        const later = await started(url, login);
        const there = await until(() => later.getRoom(room), "the room");
        await there.createThreadsTimelineSets();
        await there.fetchRoomThreads();
        const thread = await until(() => there.getThread(root), "the thread in the list");
        await until(() => thread.length === 3 && thread.replyToEvent?.getId() === last, "all replies");
        const timeline = there.getLiveTimeline();
        for (let page = 0; page < 20 && !there.findEventById(message); page++) {
            if (!(await later.paginateEventTimeline(timeline, { backwards: true, limit: 10 }))) break;
        }
        await until(() => there.findEventById(message)?.getContent().body === "hello", "the edited message");
        later.stopClient();
    },

    async "what is redacted leaves its thread"() {
        await rosa.redactEvent(room, last);
        await until(() => sven.getRoom(room).getThread(root).length === 2, "one reply less");
        rosa.stopClient();
        sven.stopClient();
    },
};

await run(steps);
