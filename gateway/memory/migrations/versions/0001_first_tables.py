"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    for make in (_contacts, _touches, _held, _answers, _digests, _deliveries):
        make()


def downgrade() -> None:
    for table in ("deliveries", "digests", "answers", "held", "touches", "contacts"):
        op.drop_table(table)


def _contacts() -> None:
    op.create_table(
        "contacts",
        sa.Column("address", sa.Text, primary_key=True, nullable=False),
        sa.Column("recipient", sa.Text, primary_key=True, nullable=False),
        sa.Column("standing", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )


def _touches() -> None:
    op.create_table(
        "touches",
        sa.Column("id", sa.Integer, primary_key=True, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("disposition", sa.Text, nullable=False),
        sa.Column("mail_id", sa.Text, nullable=False),
        sa.Column("held_id", sa.Text),
    )
    op.create_index("touches_held", "touches", ["held_id"])
    op.create_index("touches_pair", "touches", ["sender", "recipient"])
    op.create_index("touches_once", "touches", ["mail_id", "sender", "recipient"], unique=True)


def _held() -> None:
    op.create_table(
        "held",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_key", sa.Text, nullable=False),
        sa.Column("mail_from", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("received_at", sa.DateTime, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("tactics", sa.JSON, nullable=False),
        sa.Column("terms", sa.JSON, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("original_offset", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("mail_options", sa.JSON, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("state_at", sa.DateTime),
    )
    op.create_index("held_folder", "held", ["state", "recipient_key", "received_at", "id"])
    op.create_index("held_received", "held", ["received_at"])


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("held_id", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("sender_key", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_key", sa.Text, nullable=False),
        sa.Column("rung", sa.Integer, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("due_at", sa.DateTime),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
    )
    op.create_index("answers_pair", "answers", ["sender_key", "recipient_key", "updated_at"])
    op.create_index("answers_due", "answers", ["state", "due_at"])
    op.create_index("answers_held", "answers", ["held_id"])
    op.create_index(
        "answers_slot",
        "answers",
        ["sender_key", "message_id", "shadow"],
        unique=True,
        sqlite_where=sa.text("message_id != '' AND state != 'withheld'"),
    )


def _digests() -> None:
    op.create_table(
        "digests",
        sa.Column("recipient", sa.Text, primary_key=True, nullable=False),
        sa.Column("until", sa.DateTime, primary_key=True, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("sha256", sa.Text, primary_key=True, nullable=False),
        sa.Column("recipient", sa.Text, primary_key=True, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_index("deliveries_at", "deliveries", ["at"])
