-- The schema after all migrations, for reading. Made by `make schema`; never edited, never executed.

CREATE SCHEMA public;

COMMENT ON SCHEMA public IS 'standard public schema';

CREATE TABLE access_tokens (
    id bigint NOT NULL,
    token_hash bytea NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text COLLATE pg_catalog."C",
    created_ts bigint NOT NULL,
    expires_ts bigint,
    refresh_id bigint
);

ALTER TABLE access_tokens ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME access_tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE account_data (
    user_id text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    content bytea NOT NULL,
    pos bigint NOT NULL,
    deleted boolean DEFAULT false NOT NULL
);

CREATE SEQUENCE backfill_orderings
    START WITH 1
    INCREMENT BY 256
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE backward_extremities (
    room_id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    depth bigint NOT NULL
);

CREATE TABLE blocked_rooms (
    room_id text NOT NULL COLLATE pg_catalog."C",
    blocked_by text NOT NULL COLLATE pg_catalog."C",
    blocked_ts bigint NOT NULL
);

CREATE TABLE client_transactions (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    scope text NOT NULL COLLATE pg_catalog."C",
    txn_id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    created_ts bigint NOT NULL
);

CREATE TABLE cross_signing_keys (
    user_id text NOT NULL COLLATE pg_catalog."C",
    usage text NOT NULL COLLATE pg_catalog."C",
    public_key text NOT NULL COLLATE pg_catalog."C",
    "json" text NOT NULL
);

CREATE TABLE current_state (
    room_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    state_key text NOT NULL COLLATE pg_catalog."C",
    event_nid bigint NOT NULL
);

CREATE TABLE dehydrated_devices (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    device_data text NOT NULL
);

CREATE TABLE delayed_event_outcomes (
    delay_id text NOT NULL COLLATE pg_catalog."C",
    due_ts bigint NOT NULL,
    finalised_ts bigint NOT NULL,
    event_id text COLLATE pg_catalog."C",
    error text
);

CREATE TABLE delayed_events (
    delay_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text COLLATE pg_catalog."C",
    appservice_id text COLLATE pg_catalog."C",
    txn text COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    state_key text COLLATE pg_catalog."C",
    content text NOT NULL,
    origin_ts bigint,
    delay_ms bigint NOT NULL,
    since_ts bigint NOT NULL,
    due_ts bigint,
    begun_ts bigint,
    sticky_ms bigint
);

CREATE TABLE destinations (
    server_name text NOT NULL COLLATE pg_catalog."C",
    failing_since_ts bigint NOT NULL,
    retry_ts bigint NOT NULL,
    interval_ms bigint NOT NULL
);

CREATE TABLE device_keys (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    "json" text NOT NULL
);

CREATE TABLE device_list_outbox (
    destination text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL
);

CREATE TABLE device_list_progress (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    stream_offset bigint DEFAULT 0 NOT NULL,
    CONSTRAINT device_list_progress_only_row_check CHECK (only_row)
)
WITH (fillfactor='10');

CREATE TABLE device_list_sent (
    destination text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL
);

CREATE TABLE device_lists (
    user_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL
)
WITH (fillfactor='80');

CREATE TABLE device_writes (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    CONSTRAINT device_writes_only_row_check CHECK (only_row)
)
WITH (fillfactor='10');

CREATE TABLE devices (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    display_name text,
    created_ts bigint NOT NULL,
    last_seen_ts bigint,
    last_seen_ip text,
    last_seen_user_agent text
);

CREATE TABLE doubtful_sticky_events (
    nid bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    expires_ts bigint NOT NULL
);

CREATE TABLE early_events (
    event_id text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    origin text NOT NULL COLLATE pg_catalog."C",
    missing text[] NOT NULL COLLATE pg_catalog."C",
    pdu text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    retry_at bigint NOT NULL
);

CREATE TABLE email_proofs (
    sid text NOT NULL COLLATE pg_catalog."C",
    purpose text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    secret_hash bytea NOT NULL,
    token_hash bytea NOT NULL,
    send_attempt bigint NOT NULL,
    sent integer NOT NULL,
    created_ts bigint NOT NULL,
    validated_ts bigint,
    used boolean DEFAULT false NOT NULL
);

CREATE SEQUENCE event_nids
    START WITH 1
    INCREMENT BY 256
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE events (
    nid bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    room_version text NOT NULL COLLATE pg_catalog."C",
    pos bigint,
    ordering bigint,
    depth bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    state_key text COLLATE pg_catalog."C",
    sender text NOT NULL COLLATE pg_catalog."C",
    origin_server_ts bigint NOT NULL,
    received_ts bigint NOT NULL,
    outbound boolean NOT NULL,
    status smallint NOT NULL,
    state_before bigint,
    state_after bigint,
    transaction text COLLATE pg_catalog."C",
    redacted_by text COLLATE pg_catalog."C",
    auth bytea,
    "json" text NOT NULL,
    thread text COLLATE pg_catalog."C",
    notable smallint DEFAULT 0 NOT NULL
)
WITH (toast_tuple_target='4096');

CREATE TABLE fallback_keys (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    algorithm text NOT NULL COLLATE pg_catalog."C",
    key_id text NOT NULL COLLATE pg_catalog."C",
    "json" text NOT NULL,
    used boolean DEFAULT false NOT NULL
);

CREATE TABLE filters (
    user_id text NOT NULL COLLATE pg_catalog."C",
    filter_id text NOT NULL COLLATE pg_catalog."C",
    content bytea NOT NULL
);

CREATE TABLE journals (
    journal text NOT NULL COLLATE pg_catalog."C",
    mark bigint NOT NULL,
    pos bigint NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='10');

CREATE TABLE key_backup_sessions (
    user_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    session_id text NOT NULL COLLATE pg_catalog."C",
    first_message_index bigint NOT NULL,
    forwarded_count bigint NOT NULL,
    is_verified boolean NOT NULL,
    session_data text NOT NULL
);

CREATE TABLE key_backups (
    user_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    algorithm text NOT NULL,
    auth_data text NOT NULL,
    etag bigint DEFAULT 0 NOT NULL,
    session_count bigint DEFAULT 0 NOT NULL,
    deleted boolean DEFAULT false NOT NULL
);

CREATE TABLE leases (
    name text NOT NULL COLLATE pg_catalog."C",
    holder text NOT NULL COLLATE pg_catalog."C",
    until timestamp with time zone NOT NULL
);

CREATE TABLE mail_unsubscribes (
    token_hash bytea NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    created_ts bigint NOT NULL
);

CREATE TABLE media (
    origin text NOT NULL COLLATE pg_catalog."C",
    media_id text NOT NULL COLLATE pg_catalog."C",
    sha256 text COLLATE pg_catalog."C",
    user_id text COLLATE pg_catalog."C",
    content_type text NOT NULL,
    filename text,
    created_ts bigint NOT NULL,
    expires_ts bigint,
    last_used_ts bigint NOT NULL,
    quarantined_by text COLLATE pg_catalog."C",
    protected boolean DEFAULT false NOT NULL
);

CREATE TABLE media_contents (
    sha256 text NOT NULL COLLATE pg_catalog."C",
    size bigint NOT NULL,
    file text NOT NULL COLLATE pg_catalog."C",
    created_ts bigint NOT NULL,
    suspect_since bigint,
    settled boolean DEFAULT true NOT NULL
);

CREATE TABLE media_erasures (
    user_id text NOT NULL COLLATE pg_catalog."C",
    erased_ts bigint NOT NULL
);

CREATE TABLE media_forbidden (
    sha256 text NOT NULL COLLATE pg_catalog."C",
    forbidden_by text NOT NULL,
    since_ts bigint NOT NULL
);

CREATE TABLE media_quarantine_changes (
    number bigint NOT NULL,
    origin text NOT NULL COLLATE pg_catalog."C",
    media_id text NOT NULL COLLATE pg_catalog."C",
    quarantined boolean NOT NULL,
    changed_ts bigint NOT NULL
);

ALTER TABLE media_quarantine_changes ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME media_quarantine_changes_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE media_thumbnails (
    source text NOT NULL COLLATE pg_catalog."C",
    width integer NOT NULL,
    height integer NOT NULL,
    method text NOT NULL COLLATE pg_catalog."C",
    animated boolean NOT NULL,
    sha256 text COLLATE pg_catalog."C",
    content_type text NOT NULL,
    failure text,
    made_ts bigint NOT NULL
);

CREATE TABLE media_uses (
    media_id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    sender text NOT NULL COLLATE pg_catalog."C",
    gone_ts bigint,
    origin text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE media_uses_progress (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    CONSTRAINT media_uses_progress_only_row_check CHECK (only_row)
);

CREATE TABLE membership_changes (
    user_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    membership text NOT NULL COLLATE pg_catalog."C",
    event_nid bigint NOT NULL,
    renewed boolean DEFAULT false NOT NULL
);

CREATE TABLE memberships (
    room_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    server text NOT NULL COLLATE pg_catalog."C",
    membership text NOT NULL COLLATE pg_catalog."C",
    event_nid bigint NOT NULL,
    sender text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    local boolean NOT NULL,
    forgotten boolean DEFAULT false NOT NULL,
    stripped_state bytea,
    displayname text,
    avatar_url text,
    entered_pos bigint
);

CREATE TABLE mentions (
    user_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    event_nid bigint NOT NULL
);

CREATE TABLE message_search (
    nid bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    sender text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    ts bigint NOT NULL,
    pos bigint,
    replaces text COLLATE pg_catalog."C",
    words text NOT NULL COLLATE pg_catalog."C",
    pieces integer[] NOT NULL
);

CREATE TABLE message_search_backlog (
    nid bigint NOT NULL
);

CREATE TABLE message_search_progress (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    CONSTRAINT message_search_progress_only_row_check CHECK (only_row)
)
WITH (fillfactor='10');

CREATE SEQUENCE one_time_key_order
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE one_time_keys (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    algorithm text NOT NULL COLLATE pg_catalog."C",
    key_id text NOT NULL COLLATE pg_catalog."C",
    uploaded bigint DEFAULT nextval('one_time_key_order'::regclass) NOT NULL,
    "json" text NOT NULL,
    digest bytea NOT NULL
);

CREATE TABLE outbox_extra (
    destination text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE outbox_lagging (
    destination text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE outbox_progress (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    CONSTRAINT outbox_progress_only_row_check CHECK (only_row)
)
WITH (fillfactor='10');

CREATE TABLE outside_memberships (
    room_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    servers text[] NOT NULL COLLATE pg_catalog."C",
    leave_content bytea
);

CREATE TABLE owed_redactions (
    cause bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    after_pos bigint NOT NULL,
    upto_pos bigint NOT NULL
);

CREATE TABLE partial_rooms (
    room_id text NOT NULL COLLATE pg_catalog."C",
    join_nid bigint NOT NULL,
    server text NOT NULL COLLATE pg_catalog."C",
    servers text[] NOT NULL COLLATE pg_catalog."C",
    since_ts bigint NOT NULL,
    alive_until bigint DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL
);

CREATE UNLOGGED TABLE presence (
    user_id text NOT NULL COLLATE pg_catalog."C",
    presence text NOT NULL,
    status_msg text,
    active_ts bigint
);

CREATE TABLE profiles (
    user_id text NOT NULL COLLATE pg_catalog."C",
    displayname text,
    avatar_url text,
    fields bytea NOT NULL
);

CREATE TABLE push_failures (
    target text NOT NULL COLLATE pg_catalog."C",
    failing_since_ts bigint NOT NULL,
    retry_ts bigint NOT NULL,
    interval_ms bigint NOT NULL
);

CREATE TABLE push_mail_rooms (
    pusher_id bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    last_pos bigint NOT NULL,
    pause_ms bigint NOT NULL,
    ready_ts bigint NOT NULL
);

CREATE TABLE push_mails (
    pusher_id bigint NOT NULL,
    looked_pos bigint NOT NULL,
    next_ts bigint,
    failing_ms bigint NOT NULL
);

CREATE TABLE push_outbox (
    pusher_id bigint NOT NULL,
    pos bigint NOT NULL,
    event_nid bigint,
    actions text,
    ts bigint NOT NULL
);

CREATE TABLE push_progress (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    CONSTRAINT push_progress_only_row_check CHECK (only_row)
)
WITH (fillfactor='10');

CREATE TABLE push_rules (
    user_id text NOT NULL COLLATE pg_catalog."C",
    changes bytea NOT NULL,
    pos bigint NOT NULL
);

CREATE TABLE pushers (
    id bigint NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    app_id text NOT NULL COLLATE pg_catalog."C",
    pushkey text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    device_id text COLLATE pg_catalog."C",
    enabled boolean NOT NULL,
    app_display_name text NOT NULL,
    device_display_name text NOT NULL,
    profile_tag text,
    lang text NOT NULL,
    url text COLLATE pg_catalog."C",
    data text NOT NULL,
    set_ts bigint NOT NULL,
    since bigint NOT NULL,
    badge integer DEFAULT 0 NOT NULL
);

ALTER TABLE pushers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pushers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE receipts (
    room_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    receipt_type text NOT NULL COLLATE pg_catalog."C",
    thread_id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    ts bigint NOT NULL,
    pos bigint NOT NULL,
    local boolean NOT NULL
);

CREATE TABLE received_transactions (
    origin text NOT NULL COLLATE pg_catalog."C",
    txn_id text NOT NULL COLLATE pg_catalog."C",
    received_ts bigint NOT NULL,
    answer bytea NOT NULL
);

CREATE TABLE redactions (
    redacts text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE refresh_tokens (
    id bigint NOT NULL,
    token_hash bytea NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    created_ts bigint NOT NULL,
    expires_ts bigint,
    replaces bigint
);

ALTER TABLE refresh_tokens ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME refresh_tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registration_nonces (
    nonce text NOT NULL COLLATE pg_catalog."C",
    created_ts bigint NOT NULL
);

CREATE TABLE registration_tokens (
    token text NOT NULL COLLATE pg_catalog."C",
    uses_allowed integer,
    completed integer DEFAULT 0 NOT NULL,
    expires_ts bigint,
    created_ts bigint NOT NULL
);

CREATE TABLE relations (
    nid bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    parent text NOT NULL COLLATE pg_catalog."C",
    rel_type text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    sender text NOT NULL COLLATE pg_catalog."C",
    ts bigint NOT NULL,
    depth bigint NOT NULL,
    ordering bigint NOT NULL,
    replaces boolean NOT NULL,
    key text COLLATE pg_catalog."C"
);

CREATE TABLE remote_device_lists (
    user_id text NOT NULL COLLATE pg_catalog."C",
    stream_id bigint DEFAULT 0 NOT NULL,
    stale_since bigint,
    retry_at bigint DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    master_key text,
    self_signing_key text,
    announce boolean DEFAULT false NOT NULL
);

CREATE TABLE remote_devices (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    display_name text,
    "json" text
);

CREATE TABLE remote_joins (
    room_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    content text NOT NULL,
    servers text[] NOT NULL COLLATE pg_catalog."C",
    alive_until bigint NOT NULL,
    attempts integer DEFAULT 1 NOT NULL
);

CREATE TABLE reports (
    id bigint NOT NULL,
    received_ts bigint NOT NULL,
    reporter text NOT NULL COLLATE pg_catalog."C",
    room_id text COLLATE pg_catalog."C",
    event_id text COLLATE pg_catalog."C",
    user_id text COLLATE pg_catalog."C",
    reason text NOT NULL
);

ALTER TABLE reports ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME reports_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE restorations (
    lost_after bigint NOT NULL,
    upto bigint NOT NULL
);

CREATE TABLE room_aliases (
    alias text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    creator text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE room_deletions (
    delete_id text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    requested_by text NOT NULL COLLATE pg_catalog."C",
    requested_ts bigint NOT NULL,
    purge boolean NOT NULL,
    force boolean NOT NULL,
    new_room_user_id text COLLATE pg_catalog."C",
    new_room_name text NOT NULL,
    message text NOT NULL,
    stage text NOT NULL,
    stage_ts bigint NOT NULL,
    new_room_id text COLLATE pg_catalog."C",
    left_users text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    stayed_users text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    aliases text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    error text,
    finished_ts bigint
);

CREATE TABLE room_farewells (
    user_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    nid bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    room_version text NOT NULL COLLATE pg_catalog."C",
    received_ts bigint NOT NULL,
    "json" text NOT NULL
);

CREATE TABLE room_servers (
    room_id text NOT NULL COLLATE pg_catalog."C",
    server text NOT NULL COLLATE pg_catalog."C",
    joined_members integer NOT NULL,
    joined_pos bigint NOT NULL,
    left_pos bigint
);

CREATE TABLE room_summaries (
    room_id text NOT NULL COLLATE pg_catalog."C",
    name text,
    topic text,
    avatar_url text,
    canonical_alias text COLLATE pg_catalog."C",
    room_type text COLLATE pg_catalog."C",
    join_rule text COLLATE pg_catalog."C",
    history_visibility text COLLATE pg_catalog."C",
    guest_access text COLLATE pg_catalog."C",
    encryption text COLLATE pg_catalog."C",
    joined_members integer NOT NULL,
    invited_members integer NOT NULL,
    local_members integer NOT NULL,
    published boolean DEFAULT false NOT NULL
);

CREATE TABLE rooms (
    room_id text NOT NULL COLLATE pg_catalog."C",
    room_version text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    state bigint NOT NULL,
    extremities bytea NOT NULL,
    depth bigint NOT NULL,
    last_pos bigint NOT NULL,
    bump_pos bigint DEFAULT 0 NOT NULL
);

CREATE TABLE schema_migrations (
    number integer NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE server_alive (
    only_row boolean DEFAULT true NOT NULL,
    seen_ts bigint NOT NULL,
    CONSTRAINT server_alive_only_row_check CHECK (only_row)
);

CREATE TABLE server_key_documents (
    id bigint NOT NULL,
    server_name text NOT NULL COLLATE pg_catalog."C",
    fetched_ts bigint NOT NULL,
    valid_until_ts bigint NOT NULL,
    "json" bytea NOT NULL
);

ALTER TABLE server_key_documents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME server_key_documents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE server_keys (
    server_name text NOT NULL COLLATE pg_catalog."C",
    key_id text NOT NULL COLLATE pg_catalog."C",
    public bytea NOT NULL,
    valid_until_ts bigint NOT NULL,
    expired boolean NOT NULL,
    document_id bigint NOT NULL
);

CREATE TABLE server_notice_rooms (
    user_id text NOT NULL COLLATE pg_catalog."C",
    sender text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE short_tokens (
    token_hash bytea NOT NULL,
    purpose text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    expires_ts bigint NOT NULL
);

CREATE TABLE sliding_sync_positions (
    id bigint NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    conn_id text NOT NULL COLLATE pg_catalog."C",
    state bytea NOT NULL,
    used_ts bigint NOT NULL
);

ALTER TABLE sliding_sync_positions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sliding_sync_positions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE snapshot_ids
    START WITH 1
    INCREMENT BY 256
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE standing_redactions (
    event_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    rel_types text[],
    reason text
);

CREATE TABLE state_changes (
    room_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    state_key text NOT NULL COLLATE pg_catalog."C",
    event_nid bigint,
    previous_nid bigint,
    cause_nid bigint NOT NULL
);

CREATE TABLE state_keys (
    id bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    state_key text NOT NULL COLLATE pg_catalog."C"
);

ALTER TABLE state_keys ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME state_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE state_snapshots (
    id bigint NOT NULL,
    room_id text NOT NULL COLLATE pg_catalog."C",
    parent bigint,
    size integer NOT NULL,
    set_hash bytea NOT NULL,
    layer bytea NOT NULL
);

CREATE TABLE sticky_events (
    room_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    nid bigint NOT NULL,
    own boolean NOT NULL,
    expires_ts bigint NOT NULL
);

CREATE TABLE stream (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    CONSTRAINT stream_only_row_check CHECK (only_row)
)
WITH (fillfactor='10');

CREATE TABLE thread_subscriptions (
    thread text NOT NULL COLLATE pg_catalog."C",
    room_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    subscribed boolean NOT NULL,
    automatic boolean NOT NULL,
    pos bigint NOT NULL
);

CREATE TABLE threepids (
    medium text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    validated_ts bigint NOT NULL,
    added_ts bigint NOT NULL
);

CREATE TABLE timeline_gaps (
    room_id text NOT NULL COLLATE pg_catalog."C",
    nid bigint NOT NULL
);

CREATE TABLE to_device_messages (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    "json" text NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_threshold='1000');

CREATE TABLE to_device_outbox (
    destination text NOT NULL COLLATE pg_catalog."C",
    pos bigint NOT NULL,
    part integer NOT NULL,
    "json" text NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_threshold='1000');

CREATE TABLE to_device_transactions (
    sender text NOT NULL COLLATE pg_catalog."C",
    txn_id text NOT NULL COLLATE pg_catalog."C",
    created_ts bigint NOT NULL
);

CREATE TABLE ui_auth_sessions (
    id_hash bytea NOT NULL,
    user_id text COLLATE pg_catalog."C",
    method text NOT NULL COLLATE pg_catalog."C",
    path text NOT NULL COLLATE pg_catalog."C",
    body bytea NOT NULL,
    completed bytea NOT NULL,
    result text COLLATE pg_catalog."C",
    created_ts bigint NOT NULL
);

CREATE TABLE url_previews (
    url text NOT NULL COLLATE pg_catalog."C",
    answer text NOT NULL,
    media_id text COLLATE pg_catalog."C",
    expires_ts bigint NOT NULL
);

CREATE TABLE used_one_time_keys (
    user_id text NOT NULL COLLATE pg_catalog."C",
    device_id text NOT NULL COLLATE pg_catalog."C",
    digest bytea NOT NULL
);

CREATE TABLE user_directory (
    user_id text NOT NULL COLLATE pg_catalog."C",
    local boolean NOT NULL,
    display_name text,
    avatar_url text,
    public boolean NOT NULL,
    name_words text NOT NULL COLLATE pg_catalog."C",
    id_words text NOT NULL COLLATE pg_catalog."C",
    pieces integer[] NOT NULL
);

CREATE TABLE user_directory_progress (
    only_row boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    CONSTRAINT user_directory_progress_only_row_check CHECK (only_row)
)
WITH (fillfactor='10');

CREATE TABLE user_directory_stale (
    user_id text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE user_signatures (
    signer text NOT NULL COLLATE pg_catalog."C",
    signer_key_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    public_key text NOT NULL COLLATE pg_catalog."C",
    signature text NOT NULL,
    pos bigint NOT NULL
);

CREATE TABLE users (
    user_id text NOT NULL COLLATE pg_catalog."C",
    password_hash text,
    created_ts bigint NOT NULL,
    is_admin boolean DEFAULT false NOT NULL,
    is_guest boolean DEFAULT false NOT NULL,
    appservice_id text COLLATE pg_catalog."C",
    user_type text,
    locked boolean DEFAULT false NOT NULL,
    suspended boolean DEFAULT false NOT NULL,
    deactivated boolean DEFAULT false NOT NULL,
    erased boolean DEFAULT false NOT NULL,
    departing boolean DEFAULT false NOT NULL
);

ALTER TABLE ONLY access_tokens
    ADD CONSTRAINT access_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY access_tokens
    ADD CONSTRAINT access_tokens_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY account_data
    ADD CONSTRAINT account_data_pkey PRIMARY KEY (user_id, room_id, type);

ALTER TABLE ONLY backward_extremities
    ADD CONSTRAINT backward_extremities_pkey PRIMARY KEY (room_id, event_id);

ALTER TABLE ONLY blocked_rooms
    ADD CONSTRAINT blocked_rooms_pkey PRIMARY KEY (room_id);

ALTER TABLE ONLY client_transactions
    ADD CONSTRAINT client_transactions_pkey PRIMARY KEY (user_id, device_id, scope, txn_id);

ALTER TABLE ONLY cross_signing_keys
    ADD CONSTRAINT cross_signing_keys_pkey PRIMARY KEY (user_id, usage);

ALTER TABLE ONLY current_state
    ADD CONSTRAINT current_state_pkey PRIMARY KEY (room_id, type, state_key);

ALTER TABLE ONLY dehydrated_devices
    ADD CONSTRAINT dehydrated_devices_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY delayed_event_outcomes
    ADD CONSTRAINT delayed_event_outcomes_pkey PRIMARY KEY (delay_id);

ALTER TABLE ONLY delayed_events
    ADD CONSTRAINT delayed_events_pkey PRIMARY KEY (delay_id);

ALTER TABLE ONLY delayed_events
    ADD CONSTRAINT delayed_events_user_id_txn_key UNIQUE (user_id, txn);

ALTER TABLE ONLY destinations
    ADD CONSTRAINT destinations_pkey PRIMARY KEY (server_name);

ALTER TABLE ONLY device_keys
    ADD CONSTRAINT device_keys_pkey PRIMARY KEY (user_id, device_id);

ALTER TABLE ONLY device_list_outbox
    ADD CONSTRAINT device_list_outbox_pkey PRIMARY KEY (destination, user_id, device_id);

ALTER TABLE ONLY device_list_progress
    ADD CONSTRAINT device_list_progress_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY device_list_sent
    ADD CONSTRAINT device_list_sent_pkey PRIMARY KEY (destination, user_id);

ALTER TABLE ONLY device_lists
    ADD CONSTRAINT device_lists_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY device_writes
    ADD CONSTRAINT device_writes_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (user_id, device_id);

ALTER TABLE ONLY doubtful_sticky_events
    ADD CONSTRAINT doubtful_sticky_events_pkey PRIMARY KEY (nid);

ALTER TABLE ONLY early_events
    ADD CONSTRAINT early_events_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY email_proofs
    ADD CONSTRAINT email_proofs_pkey PRIMARY KEY (sid);

ALTER TABLE ONLY events
    ADD CONSTRAINT events_event_id_key UNIQUE (event_id);

ALTER TABLE ONLY events
    ADD CONSTRAINT events_pkey PRIMARY KEY (nid);

ALTER TABLE ONLY fallback_keys
    ADD CONSTRAINT fallback_keys_pkey PRIMARY KEY (user_id, device_id, algorithm);

ALTER TABLE ONLY filters
    ADD CONSTRAINT filters_pkey PRIMARY KEY (user_id, filter_id);

ALTER TABLE ONLY journals
    ADD CONSTRAINT journals_pkey PRIMARY KEY (journal);

ALTER TABLE ONLY key_backup_sessions
    ADD CONSTRAINT key_backup_sessions_pkey PRIMARY KEY (user_id, version, room_id, session_id);

ALTER TABLE ONLY key_backups
    ADD CONSTRAINT key_backups_pkey PRIMARY KEY (user_id, version);

ALTER TABLE ONLY leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (name);

ALTER TABLE ONLY mail_unsubscribes
    ADD CONSTRAINT mail_unsubscribes_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY media_contents
    ADD CONSTRAINT media_contents_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY media_erasures
    ADD CONSTRAINT media_erasures_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY media_forbidden
    ADD CONSTRAINT media_forbidden_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY media
    ADD CONSTRAINT media_pkey PRIMARY KEY (origin, media_id);

ALTER TABLE ONLY media_quarantine_changes
    ADD CONSTRAINT media_quarantine_changes_pkey PRIMARY KEY (number);

ALTER TABLE ONLY media_thumbnails
    ADD CONSTRAINT media_thumbnails_pkey PRIMARY KEY (source, width, height, method, animated);

ALTER TABLE ONLY media_uses
    ADD CONSTRAINT media_uses_pkey PRIMARY KEY (media_id, event_id);

ALTER TABLE ONLY media_uses_progress
    ADD CONSTRAINT media_uses_progress_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY membership_changes
    ADD CONSTRAINT membership_changes_pkey PRIMARY KEY (user_id, pos, room_id);

ALTER TABLE ONLY memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (room_id, user_id);

ALTER TABLE ONLY mentions
    ADD CONSTRAINT mentions_pkey PRIMARY KEY (user_id, pos);

ALTER TABLE ONLY message_search_backlog
    ADD CONSTRAINT message_search_backlog_pkey PRIMARY KEY (nid);

ALTER TABLE ONLY message_search
    ADD CONSTRAINT message_search_pkey PRIMARY KEY (nid);

ALTER TABLE ONLY message_search_progress
    ADD CONSTRAINT message_search_progress_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY one_time_keys
    ADD CONSTRAINT one_time_keys_pkey PRIMARY KEY (user_id, device_id, algorithm, key_id);

ALTER TABLE ONLY outbox_extra
    ADD CONSTRAINT outbox_extra_pkey PRIMARY KEY (destination, pos);

ALTER TABLE ONLY outbox_lagging
    ADD CONSTRAINT outbox_lagging_pkey PRIMARY KEY (destination);

ALTER TABLE ONLY outbox_progress
    ADD CONSTRAINT outbox_progress_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY outside_memberships
    ADD CONSTRAINT outside_memberships_pkey PRIMARY KEY (room_id, user_id);

ALTER TABLE ONLY owed_redactions
    ADD CONSTRAINT owed_redactions_pkey PRIMARY KEY (cause);

ALTER TABLE ONLY partial_rooms
    ADD CONSTRAINT partial_rooms_pkey PRIMARY KEY (room_id);

ALTER TABLE ONLY presence
    ADD CONSTRAINT presence_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY profiles
    ADD CONSTRAINT profiles_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY push_failures
    ADD CONSTRAINT push_failures_pkey PRIMARY KEY (target);

ALTER TABLE ONLY push_mail_rooms
    ADD CONSTRAINT push_mail_rooms_pkey PRIMARY KEY (pusher_id, room_id);

ALTER TABLE ONLY push_mails
    ADD CONSTRAINT push_mails_pkey PRIMARY KEY (pusher_id);

ALTER TABLE ONLY push_outbox
    ADD CONSTRAINT push_outbox_pkey PRIMARY KEY (pusher_id, pos);

ALTER TABLE ONLY push_progress
    ADD CONSTRAINT push_progress_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY push_rules
    ADD CONSTRAINT push_rules_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY pushers
    ADD CONSTRAINT pushers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pushers
    ADD CONSTRAINT pushers_user_id_app_id_pushkey_key UNIQUE (user_id, app_id, pushkey);

ALTER TABLE ONLY receipts
    ADD CONSTRAINT receipts_pkey PRIMARY KEY (room_id, user_id, receipt_type, thread_id);

ALTER TABLE ONLY received_transactions
    ADD CONSTRAINT received_transactions_pkey PRIMARY KEY (origin, txn_id);

ALTER TABLE ONLY redactions
    ADD CONSTRAINT redactions_pkey PRIMARY KEY (redacts, event_id);

ALTER TABLE ONLY refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY refresh_tokens
    ADD CONSTRAINT refresh_tokens_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY registration_nonces
    ADD CONSTRAINT registration_nonces_pkey PRIMARY KEY (nonce);

ALTER TABLE ONLY registration_tokens
    ADD CONSTRAINT registration_tokens_pkey PRIMARY KEY (token);

ALTER TABLE ONLY relations
    ADD CONSTRAINT relations_pkey PRIMARY KEY (nid);

ALTER TABLE ONLY remote_device_lists
    ADD CONSTRAINT remote_device_lists_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY remote_devices
    ADD CONSTRAINT remote_devices_pkey PRIMARY KEY (user_id, device_id);

ALTER TABLE ONLY remote_joins
    ADD CONSTRAINT remote_joins_pkey PRIMARY KEY (room_id, user_id);

ALTER TABLE ONLY reports
    ADD CONSTRAINT reports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY restorations
    ADD CONSTRAINT restorations_pkey PRIMARY KEY (lost_after);

ALTER TABLE ONLY room_aliases
    ADD CONSTRAINT room_aliases_pkey PRIMARY KEY (alias);

ALTER TABLE ONLY room_deletions
    ADD CONSTRAINT room_deletions_pkey PRIMARY KEY (delete_id);

ALTER TABLE ONLY room_farewells
    ADD CONSTRAINT room_farewells_pkey PRIMARY KEY (user_id, pos, room_id);

ALTER TABLE ONLY room_servers
    ADD CONSTRAINT room_servers_pkey PRIMARY KEY (room_id, server);

ALTER TABLE ONLY room_summaries
    ADD CONSTRAINT room_summaries_pkey PRIMARY KEY (room_id);

ALTER TABLE ONLY rooms
    ADD CONSTRAINT rooms_pkey PRIMARY KEY (room_id);

ALTER TABLE ONLY schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY server_alive
    ADD CONSTRAINT server_alive_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY server_key_documents
    ADD CONSTRAINT server_key_documents_pkey PRIMARY KEY (id);

ALTER TABLE ONLY server_keys
    ADD CONSTRAINT server_keys_pkey PRIMARY KEY (server_name, key_id);

ALTER TABLE ONLY server_notice_rooms
    ADD CONSTRAINT server_notice_rooms_pkey PRIMARY KEY (user_id, sender);

ALTER TABLE ONLY short_tokens
    ADD CONSTRAINT short_tokens_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY sliding_sync_positions
    ADD CONSTRAINT sliding_sync_positions_pkey PRIMARY KEY (user_id, device_id, conn_id, id);

ALTER TABLE ONLY standing_redactions
    ADD CONSTRAINT standing_redactions_pkey PRIMARY KEY (event_id, user_id);

ALTER TABLE ONLY state_changes
    ADD CONSTRAINT state_changes_pkey PRIMARY KEY (room_id, pos, type, state_key);

ALTER TABLE ONLY state_keys
    ADD CONSTRAINT state_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY state_keys
    ADD CONSTRAINT state_keys_type_state_key_key UNIQUE (type, state_key);

ALTER TABLE ONLY state_snapshots
    ADD CONSTRAINT state_snapshots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sticky_events
    ADD CONSTRAINT sticky_events_pkey PRIMARY KEY (room_id, pos);

ALTER TABLE ONLY stream
    ADD CONSTRAINT stream_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY thread_subscriptions
    ADD CONSTRAINT thread_subscriptions_pkey PRIMARY KEY (thread, room_id, user_id);

ALTER TABLE ONLY threepids
    ADD CONSTRAINT threepids_pkey PRIMARY KEY (medium, address);

ALTER TABLE ONLY timeline_gaps
    ADD CONSTRAINT timeline_gaps_pkey PRIMARY KEY (room_id, nid);

ALTER TABLE ONLY to_device_messages
    ADD CONSTRAINT to_device_messages_pkey PRIMARY KEY (user_id, device_id, pos);

ALTER TABLE ONLY to_device_outbox
    ADD CONSTRAINT to_device_outbox_pkey PRIMARY KEY (destination, pos, part);

ALTER TABLE ONLY to_device_transactions
    ADD CONSTRAINT to_device_transactions_pkey PRIMARY KEY (sender, txn_id);

ALTER TABLE ONLY ui_auth_sessions
    ADD CONSTRAINT ui_auth_sessions_pkey PRIMARY KEY (id_hash);

ALTER TABLE ONLY url_previews
    ADD CONSTRAINT url_previews_pkey PRIMARY KEY (url);

ALTER TABLE ONLY used_one_time_keys
    ADD CONSTRAINT used_one_time_keys_pkey PRIMARY KEY (user_id, device_id, digest);

ALTER TABLE ONLY user_directory
    ADD CONSTRAINT user_directory_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY user_directory_progress
    ADD CONSTRAINT user_directory_progress_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY user_directory_stale
    ADD CONSTRAINT user_directory_stale_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY user_signatures
    ADD CONSTRAINT user_signatures_pkey PRIMARY KEY (signer, user_id, public_key, signer_key_id);

ALTER TABLE ONLY users
    ADD CONSTRAINT users_pkey PRIMARY KEY (user_id);

CREATE INDEX access_tokens_refresh ON access_tokens USING btree (refresh_id) WHERE (refresh_id IS NOT NULL);

CREATE INDEX access_tokens_user ON access_tokens USING btree (user_id, device_id);

CREATE INDEX account_data_ignored ON account_data USING btree (pos) WHERE (type = 'm.ignored_user_list'::text);

CREATE INDEX account_data_pos ON account_data USING btree (user_id, pos);

CREATE INDEX client_transactions_age ON client_transactions USING btree (created_ts);

CREATE INDEX delayed_event_outcomes_age ON delayed_event_outcomes USING btree (finalised_ts);

CREATE INDEX delayed_events_due ON delayed_events USING btree (due_ts) WHERE (due_ts IS NOT NULL);

CREATE INDEX delayed_events_user ON delayed_events USING btree (user_id, due_ts) WHERE (due_ts IS NOT NULL);

CREATE INDEX device_list_outbox_order ON device_list_outbox USING btree (destination, pos);

CREATE INDEX device_lists_pos ON device_lists USING btree (pos);

CREATE INDEX doubtful_sticky_events_rooms ON doubtful_sticky_events USING btree (room_id);

CREATE INDEX early_events_origin ON early_events USING btree (origin, room_id);

CREATE INDEX early_events_retry ON early_events USING btree (retry_at);

CREATE INDEX early_events_room ON early_events USING btree (room_id);

CREATE INDEX email_proofs_address ON email_proofs USING btree (address, created_ts);

CREATE INDEX email_proofs_created ON email_proofs USING btree (created_ts);

CREATE INDEX events_calls ON events USING btree (room_id, pos) WHERE (type = ANY (ARRAY['m.call.invite'::text, 'm.call.answer'::text, 'm.call.reject'::text, 'm.call.hangup'::text]));

CREATE INDEX events_notable ON events USING btree (room_id, pos) WHERE (notable > 0);

CREATE INDEX events_outbound ON events USING btree (room_id, pos) WHERE (outbound AND (pos IS NOT NULL));

CREATE INDEX events_outbound_pos ON events USING btree (pos) WHERE (outbound AND (pos IS NOT NULL));

CREATE INDEX events_pos ON events USING btree (pos) WHERE (pos IS NOT NULL);

CREATE INDEX events_room_pos ON events USING btree (room_id, pos) WHERE (pos IS NOT NULL);

CREATE INDEX events_timeline ON events USING btree (room_id, depth, ordering) WHERE ((ordering IS NOT NULL) AND (status = 0));

CREATE INDEX events_times ON events USING btree (room_id, origin_server_ts) WHERE ((ordering IS NOT NULL) AND (status = 0));

CREATE INDEX events_unlisted ON events USING btree (room_id) WHERE (pos IS NULL);

CREATE INDEX mail_unsubscribes_created ON mail_unsubscribes USING btree (created_ts);

CREATE INDEX media_contents_suspect ON media_contents USING btree (suspect_since) WHERE (suspect_since IS NOT NULL);

CREATE INDEX media_contents_unsettled ON media_contents USING btree (created_ts) WHERE (NOT settled);

CREATE INDEX media_last_used ON media USING btree (last_used_ts) WHERE ((user_id IS NULL) AND (sha256 IS NOT NULL));

CREATE INDEX media_of_user ON media USING btree (user_id, created_ts);

CREATE INDEX media_own_last_used ON media USING btree (last_used_ts) WHERE ((user_id IS NOT NULL) AND (sha256 IS NOT NULL));

CREATE INDEX media_pending ON media USING btree (user_id, expires_ts) WHERE (sha256 IS NULL);

CREATE INDEX media_sha256 ON media USING btree (sha256);

CREATE INDEX media_thumbnails_sha256 ON media_thumbnails USING btree (sha256);

CREATE INDEX media_uses_event ON media_uses USING btree (event_id);

CREATE INDEX media_uses_gone ON media_uses USING btree (gone_ts) WHERE (gone_ts IS NOT NULL);

CREATE INDEX membership_changes_pos ON membership_changes USING btree (pos);

CREATE INDEX membership_changes_room ON membership_changes USING btree (user_id, room_id, pos);

CREATE INDEX memberships_entered ON memberships USING btree (room_id, membership, COALESCE(entered_pos, pos));

CREATE INDEX memberships_remote_user ON memberships USING btree (user_id) WHERE ((membership = 'join'::text) AND (NOT local));

CREATE INDEX memberships_server ON memberships USING btree (server, room_id) WHERE (membership = 'join'::text);

CREATE INDEX memberships_user ON memberships USING btree (user_id, membership) WHERE local;

CREATE INDEX mentions_event ON mentions USING btree (event_nid);

CREATE INDEX message_search_order ON message_search USING btree (ts, nid);

CREATE INDEX message_search_pieces ON message_search USING gin (pieces) WITH (gin_pending_list_limit='512');

CREATE INDEX message_search_versions ON message_search USING btree (replaces) WHERE (replaces IS NOT NULL);

CREATE INDEX one_time_keys_order ON one_time_keys USING btree (user_id, device_id, algorithm, uploaded);

CREATE INDEX outbox_extra_pos ON outbox_extra USING btree (pos);

CREATE INDEX outside_memberships_leaving ON outside_memberships USING btree (room_id, user_id) WHERE (leave_content IS NOT NULL);

CREATE INDEX push_mails_next ON push_mails USING btree (next_ts) WHERE (next_ts IS NOT NULL);

CREATE INDEX push_rules_pos ON push_rules USING btree (pos);

CREATE INDEX pushers_key ON pushers USING btree (app_id, pushkey);

CREATE INDEX pushers_mailing ON pushers USING btree (id) WHERE (kind = 'email'::text);

CREATE INDEX receipts_local ON receipts USING btree (pos) WHERE local;

CREATE INDEX receipts_room_pos ON receipts USING btree (room_id, pos);

CREATE INDEX received_transactions_age ON received_transactions USING btree (received_ts);

CREATE INDEX redactions_room ON redactions USING btree (room_id);

CREATE INDEX refresh_tokens_replaces ON refresh_tokens USING btree (replaces) WHERE (replaces IS NOT NULL);

CREATE INDEX refresh_tokens_user ON refresh_tokens USING btree (user_id, device_id);

CREATE INDEX relations_parent ON relations USING btree (parent, rel_type, depth, ordering);

CREATE INDEX relations_threads ON relations USING btree (room_id, parent, depth, ordering) WHERE (rel_type = 'm.thread'::text);

CREATE INDEX remote_device_lists_stale ON remote_device_lists USING btree (retry_at) WHERE (stale_since IS NOT NULL);

CREATE INDEX room_aliases_room ON room_aliases USING btree (room_id);

CREATE INDEX room_deletions_age ON room_deletions USING btree (finished_ts) WHERE (finished_ts IS NOT NULL);

CREATE UNIQUE INDEX room_deletions_open ON room_deletions USING btree (room_id) WHERE (finished_ts IS NULL);

CREATE INDEX room_deletions_room ON room_deletions USING btree (room_id, requested_ts);

CREATE INDEX room_farewells_age ON room_farewells USING btree (received_ts);

CREATE INDEX room_servers_joined ON room_servers USING btree (server, joined_pos);

CREATE INDEX room_servers_left ON room_servers USING btree (server, left_pos) WHERE (left_pos IS NOT NULL);

CREATE INDEX room_summaries_published ON room_summaries USING btree (joined_members DESC, room_id) WHERE published;

CREATE INDEX server_key_documents_server ON server_key_documents USING btree (server_name);

CREATE INDEX server_keys_document ON server_keys USING btree (document_id);

CREATE INDEX short_tokens_expiry ON short_tokens USING btree (expires_ts);

CREATE INDEX sliding_sync_positions_used ON sliding_sync_positions USING btree (used_ts);

CREATE INDEX state_changes_members ON state_changes USING btree (pos) WHERE (type = 'm.room.member'::text);

CREATE INDEX state_changes_openness ON state_changes USING btree (pos) WHERE (type = ANY (ARRAY['m.room.join_rules'::text, 'm.room.history_visibility'::text]));

CREATE INDEX state_snapshots_hash ON state_snapshots USING btree (room_id, set_hash);

CREATE INDEX sticky_events_age ON sticky_events USING btree (expires_ts);

CREATE INDEX thread_subscriptions_pos ON thread_subscriptions USING btree (pos);

CREATE INDEX thread_subscriptions_user ON thread_subscriptions USING btree (user_id, pos);

CREATE INDEX threepids_user ON threepids USING btree (user_id);

CREATE INDEX to_device_transactions_age ON to_device_transactions USING btree (created_ts);

CREATE INDEX ui_auth_sessions_created ON ui_auth_sessions USING btree (created_ts);

CREATE INDEX url_previews_expiry ON url_previews USING btree (expires_ts);

CREATE INDEX user_directory_pieces ON user_directory USING gin (pieces) WITH (gin_pending_list_limit='512');

CREATE INDEX user_signatures_pos ON user_signatures USING btree (signer, pos);

CREATE INDEX users_created ON users USING btree (created_ts, user_id);

CREATE INDEX users_departing ON users USING btree (user_id) WHERE departing;

CREATE INDEX users_lower ON users USING btree (lower(user_id));

ALTER TABLE ONLY delayed_event_outcomes
    ADD CONSTRAINT delayed_event_outcomes_delay_id_fkey FOREIGN KEY (delay_id) REFERENCES delayed_events(delay_id) ON DELETE CASCADE;

ALTER TABLE ONLY media
    ADD CONSTRAINT media_sha256_fkey FOREIGN KEY (sha256) REFERENCES media_contents(sha256);

ALTER TABLE ONLY media_thumbnails
    ADD CONSTRAINT media_thumbnails_sha256_fkey FOREIGN KEY (sha256) REFERENCES media_contents(sha256);

ALTER TABLE ONLY media_thumbnails
    ADD CONSTRAINT media_thumbnails_source_fkey FOREIGN KEY (source) REFERENCES media_contents(sha256) ON DELETE CASCADE;

ALTER TABLE ONLY push_mail_rooms
    ADD CONSTRAINT push_mail_rooms_pusher_id_fkey FOREIGN KEY (pusher_id) REFERENCES pushers(id) ON DELETE CASCADE;

ALTER TABLE ONLY push_mails
    ADD CONSTRAINT push_mails_pusher_id_fkey FOREIGN KEY (pusher_id) REFERENCES pushers(id) ON DELETE CASCADE;
