-- expand
-- Keys of local devices and the cross-signing keys of local users.

-- The identity keys of a device; `json` is the object that its owner signed, with the signatures of the owner's own keys.
create table device_keys (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    json text not null,
    primary key (user_id, device_id)
);

create table cross_signing_keys (
    user_id text collate "C" not null,
    usage text collate "C" not null,     -- master, self_signing, user_signing
    public_key text collate "C" not null,
    json text not null,                  -- as uploaded, with the signatures of the owner's own keys
    primary key (user_id, usage)
);

-- Signatures of our users over the master keys of others: for the eyes of who made them.
create table user_signatures (
    signer text collate "C" not null,
    signer_key_id text collate "C" not null,
    user_id text collate "C" not null,
    public_key text collate "C" not null,
    signature text not null,
    pos bigint not null,
    primary key (signer, user_id, public_key, signer_key_id)
);
create index user_signatures_pos on user_signatures (signer, pos);

-- When the devices or the cross-signing keys of a user, local or not, last changed in a way that others have to see.
create table device_lists (
    user_id text collate "C" primary key,
    pos bigint not null
) with (fillfactor = 80);
create index device_lists_pos on device_lists (pos);

create index memberships_remote_user on memberships (user_id) where membership = 'join' and not local;
