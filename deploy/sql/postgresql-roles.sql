-- Rights of the six roles on PostgreSQL; docs/database-roles.md says what each may and why.
--
--   psql -v ON_ERROR_STOP=1 -d app -f postgresql-roles.sql
--   PGOPTIONS='-c search_path=outbox' psql ...             where the tables are in the schema `outbox`
--
-- Run it as a superuser before the first `worker db upgrade`, and again after each one. It may be run at any time: it
-- is one transaction, and changes nothing that is right already. The roles cannot log in and have no password.

begin;

do $$
declare
  role text;
  place text := quote_ident(current_schema());
begin
  foreach role in array array['delivery_migrator', 'delivery_worker', 'delivery_producer', 'delivery_reader',
    'delivery_receiver', 'delivery_console'] loop
    if not exists (select from pg_roles where rolname = role) then
      execute format('create role %I nologin', role);
    end if;
  end loop;
  -- Before PostgreSQL 15 every user may create tables in the schema `public`.
  execute 'revoke create on schema ' || place || ' from public';
  execute 'grant usage, create on schema ' || place || ' to delivery_migrator';
  execute 'grant usage on schema ' || place
    || ' to delivery_worker, delivery_producer, delivery_reader, delivery_receiver, delivery_console';
  -- What an upgrade creates later is the worker's at once; for the others the file of that release has a line.
  execute 'alter default privileges for role delivery_migrator in schema ' || place
    || ' grant select, insert, update, delete on tables to delivery_worker';
end
$$;

create or replace function worker_audit_is_kept() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and (old.ended_at is null or pg_has_role(current_user, 'delivery_migrator', 'usage')) then
    return new;
  elsif tg_op = 'DELETE' and (
    old.action in ('console.view', 'console.sign_in', 'console.sign_out', 'console.refused')
    or pg_has_role(current_user, 'delivery_migrator', 'usage')
  ) then
    return old;
  end if;
  raise exception 'ended rows of the audit are kept' using errcode = 'insufficient_privilege';
end
$$;

do $$
declare
  given record;
begin
  -- A table, and what a producer, a reader, a receiver and a console may; a worker may select, insert, update and delete
  -- in all of them.
  for given in select name, producer, reader, receiver, console from (values
    ('worker_accounts', 'select (name, version)', 'select (name, version)', 'select', 'select'),
    ('worker_alembic_version', '', 'select', 'select', 'select'),
    ('worker_alerts', '', 'select', '', 'select'),
    ('worker_attempts', 'select', 'select', 'select, insert, update', 'select, insert, update'),
    ('worker_audit', '', '', '', 'select, insert, update (counts, ended_at, seen_at)'),
    ('worker_blob_chunks', 'insert', '', '', 'select'),
    ('worker_blob_uses', 'insert', '', '', 'select, insert'),
    ('worker_blobs', 'select, insert, update (created_at)', 'select', '', 'select, update (created_at)'),
    ('worker_bodies', '', '', '', ''),
    ('worker_budgets', 'select', 'select', '', 'select'),
    ('worker_chats',
     'select (account, chat_id, chat_type)',
     '',
     'select, insert, update',
     'select, update (allowance)'),
    ('worker_confirmations', '', '', '', 'select'),
    ('worker_counts', '', 'select', 'select, insert, update, delete', 'select, insert'),
    ('worker_duplicates', '', '', '', ''),
    ('worker_ended_tags', '', '', '', ''),
    ('worker_events', 'select', 'select', 'insert', 'select, insert, update'),
    ('worker_failures', 'select', '', '', 'select, insert'),
    ('worker_grants',
     '',
     '',
     'select (kind, account, subject, issued_at), insert, update (sealed, issued_at, ends_at, stored_at)',
     ''),
    ('worker_inbound',
     'select (id, event, person, payload, received_at)',
     'select (id, account, received_at)',
     'select (id, stored_by), insert',
     'select'),
    ('worker_jobs',
     'select, insert',
     'select (id, kind, channel, account, asked, priority, due_at, expires_at, dedupe_key, order_key, tags, '
     'on_unknown, target_job_id, replay_of, created_at, state, finished_at, awaited, n_open, n_accepted, n_partial,'
     ' n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled, on_gap, cancelled_at, quiet_hours, payload, '
     'tenant)',
     'select (id, kind, channel, account, asked, priority, due_at, created_at, state, finished_at, awaited, '
     'cancelled_at, n_open, n_accepted, n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled), '
     'update (state, finished_at, awaited, n_open, n_accepted, n_partial, n_rejected, n_exhausted, n_unknown, '
     'n_expired, n_cancelled)',
     'select, insert, update (priority, due_at, expires_at, cancelled_at, state, finished_at, awaited, n_open, '
     'n_accepted, n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled)'),
    ('worker_lane_events', 'select', 'select', 'insert', 'select, insert'),
    ('worker_lanes', 'select', 'select', 'select, insert, update, delete', 'select, insert, update, delete'),
    ('worker_leases', '', 'select', 'select, insert, update', 'select'),
    ('worker_media', '', '', '', ''),
    ('worker_order_queue',
     'select, insert',
     'select',
     'select, update (place_at), delete',
     'select, insert, update, delete'),
    ('worker_orders', '', 'select', 'select, insert, update, delete', 'select, insert, update, delete'),
    ('worker_parts',
     'select, insert',
     'select (id, job_id, n, lane, priority, state, not_before, expires_at, offered_until, claim, incarnation, '
     'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, '
     'order_id, limit_name)',
     'select (id, job_id, n, lane, priority, state, not_before, expires_at, offered_until, claim, incarnation, '
     'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, '
     'order_id, limit_name), update (state, not_before, offered_until, claim, incarnation, marked_at, '
     'first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, limit_name)',
     'select, insert, update (priority, expires_at, state, not_before, offered_until, claim, incarnation, '
     'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, '
     'limit_name)'),
    ('worker_pauses', 'select', 'select', 'select (ended_at)', 'select, insert, update (ended_at)'),
    ('worker_processes', 'select', 'select', 'select (id, hooks, alive_until, started_at, ended_at)', 'select'),
    ('worker_rates', '', 'select', 'select, insert, update, delete', 'select'),
    ('worker_receipts', 'select', '', 'select (part_id, claim), insert', 'select, insert, update'),
    ('worker_response_codes',
     'select (id, part_id, state, leased_by, ends_at)',
     '',
     'select (id), insert',
     'select (id, part_id, source, state, leased_by, issued_at, ends_at, person), update (state, leased_by)'),
    ('worker_sessions', '', '', '', 'select, insert, update, delete'),
    ('worker_sign_ins', '', '', '', 'select, insert, delete'),
    ('worker_site', 'select', 'select', 'select', 'select'),
    ('worker_task_ids', 'select, insert', '', 'select', 'select, insert'),
    ('worker_terms', 'select', 'select', '', 'select'),
    ('worker_tokens',
     '',
     '',
     '',
     'select (account, fingerprint, generation, fetched_at, expires_at, refused, probe_at), update (probe_at)'),
    ('worker_totals', '', 'select', 'select, insert, update, delete', 'select'),
    ('worker_unindexed', 'select', 'select', 'select, insert, update', 'select, insert, update'),
    ('worker_waits', 'select', 'select', '', 'select, insert, update')
  ) as rights (name, producer, reader, receiver, console) where to_regclass(name) is not null loop
    -- Only its owner may change a table. Tables of before these roles are handed over.
    if (select tableowner from pg_tables where schemaname = current_schema() and tablename = given.name)
      <> 'delivery_migrator' then
      execute format('alter table %I owner to delivery_migrator', given.name);
    end if;
    execute format('revoke all on %I from public', given.name);
    execute format('grant select, insert, update, delete on %I to delivery_worker', given.name);
    if given.producer <> '' then
      execute format('grant %s on %I to delivery_producer', given.producer, given.name);
    end if;
    if given.reader <> '' then
      execute format('grant %s on %I to delivery_reader', given.reader, given.name);
    end if;
    if given.receiver <> '' then
      execute format('grant %s on %I to delivery_receiver', given.receiver, given.name);
    end if;
    if given.console <> '' then
      execute format('grant %s on %I to delivery_console', given.console, given.name);
    end if;
  end loop;
  -- Of the audit a worker ends its own row, and deletes what its retention says; the rest is kept for the migrator.
  if to_regclass('worker_audit') is not null then
    revoke update on worker_audit from delivery_worker;
    grant update (counts, ended_at, seen_at) on worker_audit to delivery_worker;
    create or replace trigger worker_audit_is_kept before update or delete on worker_audit
      for each row execute function worker_audit_is_kept();
  end if;
end
$$;

commit;
