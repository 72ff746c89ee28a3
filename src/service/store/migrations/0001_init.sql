-- The first schema. Migrations are append-only: this file never changes once released.
--
-- All times are Unix milliseconds. All booleans are 0 or 1. Texts that name a state are the words of the
-- glossary; the CHECKs below make a row in an impossible state impossible to write.

-- Access keys of the API.
CREATE TABLE access_keys (
    id         TEXT    NOT NULL PRIMARY KEY,                 -- AccessKeyId
    secret     TEXT    NOT NULL,                             -- AccessKeySecret; HMAC needs it in the clear
    account    INTEGER NOT NULL,                             -- owner
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),   -- a disabled key signs nothing
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Nonces of authenticated requests; a second use of one is refused until it expires.
CREATE TABLE nonces (
    key_id     TEXT    NOT NULL,                             -- AccessKeyId that signed
    nonce      TEXT    NOT NULL,                             -- SignatureNonce
    expires_ms INTEGER NOT NULL,                             -- from then on the Timestamp rule refuses the request
    PRIMARY KEY (key_id, nonce)
) STRICT, WITHOUT ROWID;

CREATE INDEX nonces_by_expiry ON nonces (expires_ms);

-- Registered videos.
CREATE TABLE videos (
    id                TEXT    NOT NULL PRIMARY KEY,          -- VideoId
    account           INTEGER NOT NULL,                      -- owner
    reference_id      TEXT,                                  -- the caller's own id
    title             TEXT    NOT NULL,
    description       TEXT,
    tags              TEXT,                                  -- comma list as given
    cate_id           INTEGER,
    cover_url         TEXT,
    template_group_id TEXT,
    file_url          TEXT    NOT NULL,                      -- file:///... as registered
    path              TEXT    NOT NULL,                      -- absolute path behind file_url
    size              INTEGER NOT NULL CHECK (size >= 0),    -- bytes
    duration_ms       INTEGER CHECK (duration_ms >= 0),      -- D; NULL until a walk told it
    status            TEXT    NOT NULL CHECK (status IN ('uploading', 'upload_succ', 'normal', 'blocked')),
    user_data         TEXT,                                  -- UserData of the registration
    created_ms        INTEGER NOT NULL,
    modified_ms       INTEGER NOT NULL,
    UNIQUE (account, file_url),
    UNIQUE (account, reference_id)
) STRICT, WITHOUT ROWID;

-- Accepted submissions. seq is the order of submission and is never used twice.
CREATE TABLE jobs (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,                     -- JobId
    account     INTEGER NOT NULL,                            -- owner, the same as the video's
    video       TEXT    NOT NULL REFERENCES videos (id),
    spec        TEXT    NOT NULL CHECK (json_valid(spec)),   -- SnapshotSpec, row format in sqlite/format.rs
    user_data   TEXT,                                        -- UserData as sent
    request_id  TEXT    NOT NULL,                            -- RequestId of the submission
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    attempts    INTEGER NOT NULL CHECK (attempts >= 0),      -- attempts used up
    due_ms      INTEGER NOT NULL,                            -- not claimed before; 0 is at once
    claim_token TEXT,                                        -- proof of ownership while running
    incarnation TEXT,                                        -- whose claim it is
    created_ms  INTEGER NOT NULL,
    started_ms  INTEGER,                                     -- the last claim
    ended_ms    INTEGER,                                     -- when it succeeded, failed or was cancelled
    fail_code   TEXT,                                        -- FailCode
    fail_stage  TEXT,                                        -- Stage
    fail_text   TEXT,                                        -- a sentence for people
    pictures    INTEGER NOT NULL CHECK (pictures >= 0),      -- single pictures on offer
    sheets      INTEGER NOT NULL CHECK (sheets >= 0),        -- sprite sheets on offer
    CHECK ((state = 'running') = (claim_token IS NOT NULL)),
    CHECK ((state = 'running') = (incarnation IS NOT NULL)),
    CHECK ((state IN ('queued', 'running')) = (ended_ms IS NULL)),
    CHECK (state IN ('queued', 'cancelled') OR started_ms IS NOT NULL),
    CHECK ((state = 'failed') = (fail_code IS NOT NULL)),
    CHECK ((fail_code IS NULL) = (fail_stage IS NULL) AND (fail_code IS NULL) = (fail_text IS NULL)),
    CHECK (state IN ('succeeded', 'failed') OR (pictures = 0 AND sheets = 0))
) STRICT;

CREATE INDEX jobs_queued ON jobs (account, video, seq) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (claim_token) WHERE state = 'running';
CREATE INDEX jobs_failed ON jobs (seq) WHERE state = 'failed';
CREATE INDEX jobs_cancelled ON jobs (seq) WHERE state = 'cancelled';
CREATE INDEX jobs_with_pictures ON jobs (video, seq) WHERE state = 'succeeded' AND pictures > 0;
CREATE INDEX jobs_with_sheets ON jobs (video, seq) WHERE state = 'succeeded' AND sheets > 0;

-- One row a video with queued jobs, so that the queue's head is found without walking the queue.
-- Kept by the triggers below and by nothing else.
CREATE TABLE queue_heads (
    account INTEGER NOT NULL,
    video   TEXT    NOT NULL,
    seq     INTEGER NOT NULL,                                -- its oldest queued job, due or not
    PRIMARY KEY (account, video)
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_heads_by_account ON queue_heads (account, seq);
CREATE INDEX queue_heads_by_age ON queue_heads (seq);

CREATE TRIGGER jobs_enter_queue_new AFTER INSERT ON jobs WHEN NEW.state = 'queued'
BEGIN
    INSERT INTO queue_heads (account, video, seq) VALUES (NEW.account, NEW.video, NEW.seq)
    ON CONFLICT (account, video) DO UPDATE SET seq = excluded.seq WHERE excluded.seq < queue_heads.seq;
END;

CREATE TRIGGER jobs_enter_queue_again AFTER UPDATE OF state ON jobs
WHEN NEW.state = 'queued' AND OLD.state <> 'queued'
BEGIN
    INSERT INTO queue_heads (account, video, seq) VALUES (NEW.account, NEW.video, NEW.seq)
    ON CONFLICT (account, video) DO UPDATE SET seq = excluded.seq WHERE excluded.seq < queue_heads.seq;
END;

CREATE TRIGGER jobs_leave_queue AFTER UPDATE OF state ON jobs
WHEN OLD.state = 'queued' AND NEW.state <> 'queued'
BEGIN
    DELETE FROM queue_heads
    WHERE account = OLD.account AND video = OLD.video
      AND NOT EXISTS (SELECT 1 FROM jobs
                      WHERE state = 'queued' AND account = OLD.account AND video = OLD.video);
    UPDATE queue_heads
    SET seq = (SELECT min(seq) FROM jobs
               WHERE state = 'queued' AND account = OLD.account AND video = OLD.video)
    WHERE account = OLD.account AND video = OLD.video AND seq = OLD.seq;
END;

-- Points of ended jobs, one row each.
CREATE TABLE points (
    job          INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    asked        INTEGER NOT NULL CHECK (asked >= 0),        -- asked order from 0
    asked_ms     INTEGER NOT NULL,                           -- the instant, on the player's clock
    status       TEXT    NOT NULL
        CHECK (status IN ('ok', 'first_frame', 'last_frame', 'past_end', 'concealed', 'failed')),
    reason       TEXT,                                       -- why there is no picture
    shown_status TEXT,                                       -- status of the frame; the point may still fail later
    shown_ms     INTEGER,                                    -- start of the shown frame
    pts          INTEGER,                                    -- in stream time base
    width        INTEGER CHECK (width >= 0),                 -- pixels
    height       INTEGER CHECK (height >= 0),
    key_frame    INTEGER CHECK (key_frame IN (0, 1)),
    backend      TEXT,                                       -- where it was decoded: cpu, cuda, vaapi
    frame_md5    TEXT CHECK (length(frame_md5) = 32),        -- MD5 of the decoded frame, hex, when asked for
    ordinal      INTEGER CHECK (ordinal >= 1),               -- place among the pictures on offer
    bytes        INTEGER CHECK (bytes >= 0),                 -- size of that picture
    PRIMARY KEY (job, asked),
    CHECK ((ordinal IS NULL) = (bytes IS NULL)),
    CHECK (ordinal IS NULL OR status NOT IN ('past_end', 'failed')),
    CHECK ((shown_status IS NULL) = (shown_ms IS NULL) AND (shown_status IS NULL) = (pts IS NULL)
       AND (shown_status IS NULL) = (width IS NULL) AND (shown_status IS NULL) = (height IS NULL)
       AND (shown_status IS NULL) = (key_frame IS NULL) AND (shown_status IS NULL) = (backend IS NULL)),
    CHECK (frame_md5 IS NULL OR shown_status IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- Sprite sheets of ended jobs.
CREATE TABLE sheets (
    job    INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number >= 1),             -- from 1
    width  INTEGER NOT NULL CHECK (width > 0),               -- pixels
    height INTEGER NOT NULL CHECK (height > 0),
    bytes  INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

-- Account-wide callback settings.
CREATE TABLE callback_settings (
    account      INTEGER NOT NULL PRIMARY KEY,
    app_id       TEXT    NOT NULL,
    callback_url TEXT    NOT NULL,
    event_types  TEXT    NOT NULL,                           -- comma list, ALL, or empty for none
    auth_switch  INTEGER NOT NULL CHECK (auth_switch IN (0, 1)),
    auth_key     TEXT                                        -- secret of the callback signature
) STRICT;

-- Events on their way out. The body is rendered once and never again.
CREATE TABLE outbox (
    seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    event_id   TEXT    NOT NULL UNIQUE,
    account    INTEGER NOT NULL,
    job        TEXT REFERENCES jobs (id),                    -- JobId; NULL for events without one
    event_type TEXT    NOT NULL,
    url        TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts   INTEGER NOT NULL CHECK (attempts >= 0),
    next_ms    INTEGER NOT NULL,                             -- not tried before, while pending; 0 is at once
    ended_ms   INTEGER,                                      -- when it was delivered
    last_error TEXT,
    CHECK ((state = 'delivered') = (ended_ms IS NOT NULL))
) STRICT;

CREATE INDEX outbox_due ON outbox (next_ms, seq) WHERE state = 'pending';
CREATE INDEX outbox_pending_age ON outbox (created_ms) WHERE state = 'pending';
CREATE INDEX outbox_dead ON outbox (seq) WHERE state = 'dead';

-- The daemon that runs on this file: one row. Claims of any other incarnation are void.
CREATE TABLE running_incarnation (
    only_row    INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    incarnation TEXT    NOT NULL,
    started_ms  INTEGER NOT NULL,
    beat_ms     INTEGER NOT NULL                             -- last heartbeat
) STRICT;

-- What the health check writes.
CREATE TABLE health (
    only_row   INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    checked_ms INTEGER NOT NULL
) STRICT;

INSERT INTO health (only_row, checked_ms) VALUES (1, 0);

-- Numbers for gauges: how many rows are in which state. Kept by the triggers below and by nothing else.
CREATE TABLE counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL CHECK (value >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO counters (name, value) VALUES
    ('nonces', 0),
    ('jobs.queued', 0), ('jobs.running', 0), ('jobs.succeeded', 0), ('jobs.failed', 0), ('jobs.cancelled', 0),
    ('outbox.pending', 0), ('outbox.delivered', 0), ('outbox.dead', 0);

CREATE TRIGGER nonces_count_new AFTER INSERT ON nonces
BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'nonces';
END;

CREATE TRIGGER nonces_count_gone AFTER DELETE ON nonces
BEGIN
    UPDATE counters SET value = value - 1 WHERE name = 'nonces';
END;

CREATE TRIGGER jobs_count_new AFTER INSERT ON jobs
BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'jobs.' || NEW.state;
END;

CREATE TRIGGER jobs_count_change AFTER UPDATE OF state ON jobs WHEN NEW.state <> OLD.state
BEGIN
    UPDATE counters SET value = value - 1 WHERE name = 'jobs.' || OLD.state;
    UPDATE counters SET value = value + 1 WHERE name = 'jobs.' || NEW.state;
END;

CREATE TRIGGER outbox_count_new AFTER INSERT ON outbox
BEGIN
    UPDATE counters SET value = value + 1 WHERE name = 'outbox.' || NEW.state;
END;

CREATE TRIGGER outbox_count_change AFTER UPDATE OF state ON outbox WHEN NEW.state <> OLD.state
BEGIN
    UPDATE counters SET value = value - 1 WHERE name = 'outbox.' || OLD.state;
    UPDATE counters SET value = value + 1 WHERE name = 'outbox.' || NEW.state;
END;
