// What matrix-js-sdk's own push processor makes of events: `JSSDK=FOLDER node pushrules.mjs < CASES`.
// Each line of the input is {"rules", "room", "event"}, each of the output the ID of the rule that matched, and its actions.

import { readFileSync } from "node:fs";
import { load, sdk } from "./journey.mjs";

const { PushProcessor } = await load("matrix-js-sdk/lib/pushprocessor.js");

const room = {};
const client = {
    credentials: {},
    getUserId: () => client.credentials.userId,
    getSafeUserId: () => client.credentials.userId,
    supportsIntentionalMentions: () => true,
    getRoom: () => ({
        currentState: {
            members: {},
            getJoinedMemberCount: () => room.members,
            getMember: () => ({ name: room.name }),
            mayTriggerNotifOfType: (key) => room.powerful.includes(key),
        },
    }),
};
const processor = new PushProcessor(client);

const answers = [];
for (const line of readFileSync(0, "utf8").split("\n")) {
    if (!line) continue;
    const asked = JSON.parse(line);
    Object.assign(room, asked.room);
    client.credentials.userId = asked.room.user;
    PushProcessor.cachedGlobToRegex = {}; // it takes a pattern of a whole value for one of words
    const event = new sdk.MatrixEvent(asked.event);
    const rule = processor.matchingRuleForEventWithRulesets(event, { global: asked.rules });
    answers.push(JSON.stringify(rule ? [rule.rule_id, rule.actions] : ["", []]));
}
process.stdout.write(`${answers.join("\n")}\n`, () => process.exit(0));
