-- expand
-- What is yet to be redacted of users who were removed with what they said (MSC4293), the latest first.
create table owed_redactions (
    cause bigint primary key,             -- the membership event's number
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    after_pos bigint not null,
    upto_pos bigint not null
);

-- Redactions that go for later events that relate to the same one too (MSC3912).
create table standing_redactions (
    event_id text collate "C" not null,
    user_id text collate "C" not null,
    room_id text collate "C" not null,
    rel_types text[],                     -- absent: all
    reason text,
    primary key (event_id, user_id)
);
