// Two people gather rooms in a space, and move from an old room to its successor, by matrix-js-sdk:
// `JSSDK=FOLDER node spaces.mjs URL`.

import assert from "node:assert/strict";
import { logger, person, run, until } from "./journey.mjs";

logger.setLevel("error", false);

const url = process.argv[2];
const server = (client) => client.getDomain();
const membership = (client, room) => client.getRoom(room)?.getMyMembership();

let uma, vito, space, inside, hidden, old, successor;

const steps = {
    async "a space shows its rooms before one is in them"() {
        [uma, vito] = await Promise.all([person(url, "uma-js"), person(url, "vito-js")]);
        const made = { preset: "public_chat", name: "House", creation_content: { type: "m.space" } };
        space = (await uma.createRoom(made)).room_id;
        inside = (await uma.createRoom({ preset: "public_chat", name: "Kitchen", topic: "Tea" })).room_id;
        hidden = (await uma.createRoom({ preset: "private_chat", name: "Safe" })).room_id;
        for (const [room, order] of [[inside, "a"], [hidden, "b"]])
            await uma.sendStateEvent(space, "m.space.child", { via: [server(uma)], order, suggested: room === inside }, room);
        await vito.joinRoom(space);
        await until(() => vito.getRoom(space)?.isSpaceRoom(), "the space");
        const { rooms } = await vito.getRoomHierarchy(space, 50, 3);
        assert.deepEqual(rooms.map((each) => each.name), ["House", "Kitchen"]);
        assert.equal(rooms[0].children_state.length, 2);
        assert.equal(rooms[1].topic, "Tea");
        const suggested = await vito.getRoomHierarchy(space, 50, 1, true);
        assert.deepEqual(suggested.rooms.map((each) => each.room_id), [space, inside]);
    },

    async "a card of a room is shown"() {
        const card = await vito.getRoomSummary(inside, [server(uma)]);
        assert.equal(card.name, "Kitchen");
        assert.equal(card.num_joined_members, 1);
        await assert.rejects(vito.getRoomSummary(hidden), (error) => error.httpStatus === 404);
    },

    async "who is in the space enters its restricted room"() {
        const allow = [{ type: "m.room_membership", room_id: space }];
        await uma.sendStateEvent(hidden, "m.room.join_rules", { join_rule: "restricted", allow }, "");
        const { rooms } = await vito.getRoomHierarchy(space, 50, 3);
        assert.deepEqual(rooms.map((each) => each.name), ["House", "Kitchen", "Safe"]);
        await vito.joinRoom(hidden);
        await until(() => membership(vito, hidden) === "join", "the restricted room");
    },

    async "a room is upgraded, and who was in it follows"() {
        old = (await uma.createRoom({ preset: "public_chat", name: "Hall", room_version: "10" })).room_id;
        await vito.joinRoom(old);
        await until(() => membership(vito, old) === "join", "the old room");
        await vito.setRoomTag(old, "m.favourite", { order: 0.25 });
        successor = (await uma.upgradeRoom(old, "12")).replacement_room;
        const tombstone = () => vito.getRoom(old)?.currentState.getStateEvents("m.room.tombstone", "");
        assert.equal((await until(tombstone, "the tombstone")).getContent().replacement_room, successor);
        await vito.joinRoom(successor);
        const there = await until(() => vito.getRoom(successor), "the successor");
        await until(() => there.getMyMembership() === "join", "the join");
        assert.equal(there.findPredecessor()?.roomId, old);
        assert.equal(there.getVersion(), "12");
        await until(() => there.name === "Hall", "its name");
        await until(() => there.tags["m.favourite"]?.order === 0.25, "the tag that moved along");
        assert.ok(vito.getVisibleRooms().some((each) => each.roomId === successor));
        assert.ok(!vito.getVisibleRooms().some((each) => each.roomId === old));
        await assert.rejects(vito.sendTextMessage(old, "still here?"), (error) => error.errcode === "M_FORBIDDEN");
    },
};

await run(steps);
