CREATE TABLE items (
    id VARCHAR(200) NOT NULL,
    place INTEGER NOT NULL,
    messages JSON NOT NULL,
    responses JSON NOT NULL,
    CONSTRAINT pk_items PRIMARY KEY (id)
);
CREATE TABLE raters (
    id {serial} NOT NULL,
    name VARCHAR(16) NOT NULL,
    token_hash VARCHAR(64),
    language VARCHAR(16),
    invited_at {double},
    consented_at {double},
    revoked_at {double},
    withdrawn_at {double},
    CONSTRAINT pk_raters PRIMARY KEY (id),
    CONSTRAINT uq_raters_name UNIQUE (name),
    CONSTRAINT uq_raters_token_hash UNIQUE (token_hash)
);
CREATE TABLE study (
    id {serial} NOT NULL,
    name VARCHAR(64) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    content JSON NOT NULL,
    model_digests JSON NOT NULL,
    paused BOOLEAN NOT NULL,
    created_at {double} NOT NULL,
    CONSTRAINT pk_study PRIMARY KEY (id)
);
CREATE TABLE acts (
    rater_id INTEGER NOT NULL,
    nonce VARCHAR(80) NOT NULL,
    act VARCHAR(96) NOT NULL,
    target VARCHAR(32),
    at {double} NOT NULL,
    CONSTRAINT pk_acts PRIMARY KEY (rater_id, nonce),
    CONSTRAINT fk_acts_rater_id FOREIGN KEY(rater_id) REFERENCES raters (id) ON DELETE CASCADE
);
CREATE TABLE tasks (
    id VARCHAR(32) NOT NULL,
    rater_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    state VARCHAR(16) NOT NULL,
    item_id VARCHAR(200),
    first VARCHAR(64),
    second VARCHAR(64),
    expected VARCHAR(16),
    choice VARCHAR(8),
    chosen_at {double},
    language VARCHAR(16) NOT NULL,
    started_at {double} NOT NULL,
    last_at {double} NOT NULL,
    active_s {double} NOT NULL,
    submitted_at {double},
    CONSTRAINT pk_tasks PRIMARY KEY (id),
    CONSTRAINT fk_tasks_item_id FOREIGN KEY(item_id) REFERENCES items (id),
    CONSTRAINT fk_tasks_rater_id FOREIGN KEY(rater_id) REFERENCES raters (id) ON DELETE CASCADE,
    CONSTRAINT uq_tasks_rater_id UNIQUE (rater_id, slot, attempt)
);
CREATE INDEX ix_tasks_kind ON tasks (kind, state);
CREATE TABLE changes (
    id {serial} NOT NULL,
    task_id VARCHAR(32) NOT NULL,
    field VARCHAR(80) NOT NULL,
    old VARCHAR(16),
    new VARCHAR(16),
    state VARCHAR(16) NOT NULL,
    at {double} NOT NULL,
    CONSTRAINT pk_changes PRIMARY KEY (id),
    CONSTRAINT fk_changes_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE INDEX ix_changes_task_id ON changes (task_id);
CREATE TABLE ratings (
    id {serial} NOT NULL,
    task_id VARCHAR(32) NOT NULL,
    dimension VARCHAR(64) NOT NULL,
    value INTEGER NOT NULL,
    at {double} NOT NULL,
    revisions INTEGER NOT NULL,
    CONSTRAINT pk_ratings PRIMARY KEY (id),
    CONSTRAINT fk_ratings_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE,
    CONSTRAINT uq_ratings_task_id UNIQUE (task_id, dimension)
);
CREATE TABLE turns (
    id {serial} NOT NULL,
    task_id VARCHAR(32) NOT NULL,
    number INTEGER NOT NULL,
    seeker TEXT NOT NULL,
    posted_at {double} NOT NULL,
    choice VARCHAR(8),
    continued VARCHAR(8),
    chosen_at {double},
    CONSTRAINT pk_turns PRIMARY KEY (id),
    CONSTRAINT fk_turns_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE,
    CONSTRAINT uq_turns_task_id UNIQUE (task_id, number)
);
CREATE TABLE answers (
    id {serial} NOT NULL,
    turn_id INTEGER NOT NULL,
    side VARCHAR(1) NOT NULL,
    model VARCHAR(64) NOT NULL,
    seed INTEGER NOT NULL,
    status VARCHAR(8) NOT NULL,
    text TEXT,
    reason VARCHAR(64),
    started_at {double},
    finished_at {double},
    CONSTRAINT pk_answers PRIMARY KEY (id),
    CONSTRAINT fk_answers_turn_id FOREIGN KEY(turn_id) REFERENCES turns (id) ON DELETE CASCADE,
    CONSTRAINT uq_answers_turn_id UNIQUE (turn_id, side)
);
CREATE INDEX ix_answers_status ON answers (status);
