-- Rights of the four roles on MariaDB; docs/database-roles.md says what each may and why.
--
--   mariadb app < mariadb-roles.sql
--
-- Run it as a user who may grant everything, before and after each `worker db upgrade`, also the first: MariaDB has no
-- rights for tables to come, except that to create them. It may be run at any time, and adds only what is missing. The
-- roles cannot log in and have no password.

create role if not exists delivery_migrator, delivery_worker, delivery_producer, delivery_reader;

delimiter //

begin not atomic
  -- A table, what a producer may, what a reader may; a worker may select, insert, update and delete in all of them.
  for given in (
    with rights (name, producer, reader) as (values
      ('worker_accounts', 'select (name, version)', 'select (name, version)'),
      ('worker_alembic_version', '', 'select'),
      ('worker_alerts', '', 'select'),
      ('worker_attempts', 'select', 'select'),
      ('worker_audit', '', ''),
      ('worker_blob_chunks', 'insert', ''),
      ('worker_blob_uses', 'insert', ''),
      ('worker_blobs', 'select, insert', 'select'),
      ('worker_bodies', '', ''),
      ('worker_budgets', 'select', 'select'),
      ('worker_chats', 'select (account, chat_id, chat_type)', ''),
      ('worker_confirmations', '', ''),
      ('worker_counts', '', 'select'),
      ('worker_duplicates', '', ''),
      ('worker_ended_tags', '', ''),
      ('worker_events', 'select', 'select'),
      ('worker_failures', 'select', ''),
      ('worker_grants', '', ''),
      ('worker_inbound', 'select (id, event, person, payload, received_at)', 'select (id, account, received_at)'),
      ('worker_jobs',
       'select, insert',
       'select (id, kind, channel, account, asked, priority, due_at, expires_at, dedupe_key, order_key, tags, '
       'on_unknown, target_job_id, replay_of, created_at, state, finished_at, awaited, n_open, n_accepted, '
       'n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled, on_gap, cancelled_at, '
       'quiet_hours, payload, tenant)'),
      ('worker_lane_events', 'select', 'select'),
      ('worker_lanes', 'select', 'select'),
      ('worker_leases', '', 'select'),
      ('worker_media', '', ''),
      ('worker_order_queue', 'select, insert', 'select'),
      ('worker_orders', '', 'select'),
      ('worker_parts',
       'select, insert',
       'select (id, job_id, n, lane, priority, state, not_before, expires_at, offered_until, claim, incarnation, '
       'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, '
       'reason, order_id, limit_name)'),
      ('worker_pauses', 'select', 'select'),
      ('worker_processes', 'select', 'select'),
      ('worker_rates', '', 'select'),
      ('worker_receipts', 'select', ''),
      ('worker_response_codes', 'select (id, part_id, state, leased_by, ends_at)', ''),
      ('worker_sessions', '', ''),
      ('worker_sign_ins', '', ''),
      ('worker_site', 'select', 'select'),
      ('worker_task_ids', 'select, insert', ''),
      ('worker_terms', 'select', 'select'),
      ('worker_tokens', '', ''),
      ('worker_totals', '', 'select'),
      ('worker_unindexed', 'select', 'select'),
      ('worker_waits', 'select', 'select')
    )
    select name, producer, reader, exists (
      select 1 from information_schema.tables where table_schema = database() and table_name = rights.name
    ) as there
    from rights
  ) do
    set @place = concat('`', replace(database(), '`', '``'), '`.', given.name);
    -- Granted also before there is a table, because it lets create one.
    execute immediate concat('grant all privileges on ', @place, ' to delivery_migrator');
    if given.there then
      execute immediate concat('grant select, insert, update, delete on ', @place, ' to delivery_worker');
      if given.producer <> '' then
        execute immediate concat('grant ', given.producer, ' on ', @place, ' to delivery_producer');
      end if;
      if given.reader <> '' then
        execute immediate concat('grant ', given.reader, ' on ', @place, ' to delivery_reader');
      end if;
    end if;
  end for;
  -- Of the audit a worker ends its own row, and deletes what its retention says; the rest is kept for the migrator.
  if exists (
    select 1 from information_schema.tables where table_schema = database() and table_name = 'worker_audit'
  ) then
    set @migrates = 'exists (select 1 from mysql.roles_mapping where role = "delivery_migrator" and user = substring_index(user(), "@", 1))';
    set @refuse = ' then signal sqlstate "42000" set mysql_errno = 1142, message_text = "ended rows of the audit are kept"; end if';
    execute immediate concat('create or replace trigger worker_audit_is_not_changed before update on worker_audit'
      ' for each row if old.ended_at is not null and not ', @migrates, @refuse);
    execute immediate concat('create or replace trigger worker_audit_is_not_deleted before delete on worker_audit'
      ' for each row if old.action not in ("console.view", "console.sign_in", "console.sign_out", "console.refused")'
      ' and not ', @migrates, @refuse);
  end if;
end //

delimiter ;
