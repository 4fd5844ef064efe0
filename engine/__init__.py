"""Antiphon's engine: sessions of actors that stream what language models write.

The only door: what a server or an application imports, it imports from here.
"""

from engine.actors import Wheel
from engine.callers import ANYONE, Options, Picture, Viewer
from engine.cluster.counting import Counting
from engine.cluster.interface import Board
from engine.cluster.redis import RedisBoard
from engine.commands.content import ContentCommand, DraftCommand, FormatCommand
from engine.commands.exhibition import ExhibitionCommand
from engine.commands.generate import GenerateCommand, canonical_phase
from engine.commands.persona import (
    Characteristics,
    ChatRequest,
    MultiChatRequest,
    OpenAIChatRequest,
    Persona,
)
from engine.commands.rater import RaterBatchCommand, RaterCommand
from engine.engine import Engine, open_engine
from engine.errors import (
    AntiphonError,
    BudgetExceeded,
    CallerError,
    Conflict,
    DeadlineExceeded,
    EngineError,
    ErrorCode,
    Expired,
    FlowError,
    Forbidden,
    Internal,
    InvalidJson,
    InvalidRequest,
    JournalFailed,
    NotFound,
    Overloaded,
    ProviderAuth,
    ProviderBadOutput,
    ProviderError,
    ProviderNotConfigured,
    ProviderNotFound,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    ShuttingDown,
    TooLarge,
    Unauthenticated,
    Unreachable,
    UnsupportedType,
    ValidationFailed,
)
from engine.events import (
    JSON,
    Attempt,
    AttemptReason,
    Cancelled,
    CancelReason,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Item,
    Part,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Reasoning,
    Receipt,
    Selected,
    SelectionRequired,
    Terminal,
    Usage,
)
from engine.journal.interface import Document, Journal, SessionRecord, SessionState
from engine.journal.memory import MemoryJournal
from engine.journal.redis import RedisJournal
from engine.journal.sqlite import SqliteJournal
from engine.knowledge.importing import ImportProgress, ImportReport, import_csv
from engine.knowledge.sources import SOURCE_NAMES, Sources, SourceSettings, open_sources
from engine.limits import Limits
from engine.observing import Observation, PartObservation, SessionObservation
from engine.pipelines import (
    ContentPipeline,
    ExhibitionPipeline,
    Template,
    Templates,
    all_pipelines,
    proposal_of,
)
from engine.pipelines.persona import Conversations, Personas, exchange_turns
from engine.pipelines.rater.failures import RaterErrorCode
from engine.providers import Providers, SimSettings, provider_configs
from engine.providers.interface import ProviderInfo
from engine.redis.address import RedisAddress, parse_address
from engine.redis.checking import check_redis
from engine.sessions.at_rest import cancel_at_rest, find_at_rest, read_at_rest
from engine.sessions.cursors import format_cursor, parse_cursor
from engine.sessions.outcomes import Answer, PartCut, PartLost
from engine.sessions.run import Run
from engine.sessions.session import Session, matches
from engine.sessions.subscription import Gap, Subscription
from engine.sessions.view import PartView, View
from engine.telemetry import (
    AttemptStarted,
    CallEnded,
    CallStarted,
    PartEnded,
    PartStarted,
    Report,
    SessionEnded,
    SessionStarted,
    Telemetry,
    Undelivered,
)

__all__ = [
    # exhibitions
    "SOURCE_NAMES",
    "Sources",
    "SourceSettings",
    "open_sources",
    "import_csv",
    "ImportProgress",
    "ImportReport",
    "ExhibitionPipeline",
    "ExhibitionCommand",
    "proposal_of",
    "open_engine",
    "Engine",
    "Options",
    "Viewer",
    "ANYONE",
    "Picture",
    "Observation",
    "SessionObservation",
    "PartObservation",
    # telemetry
    "Telemetry",
    "Report",
    "SessionStarted",
    "SessionEnded",
    "PartStarted",
    "PartEnded",
    "AttemptStarted",
    "CallStarted",
    "CallEnded",
    "Undelivered",
    "Session",
    "matches",
    "SessionRecord",
    "SessionState",
    "Run",
    "Answer",
    "PartLost",
    "PartCut",
    "Subscription",
    "Gap",
    "View",
    "PartView",
    "find_at_rest",
    "read_at_rest",
    "cancel_at_rest",
    "format_cursor",
    "parse_cursor",
    "Limits",
    "Journal",
    "Board",
    "Counting",
    "Document",
    "MemoryJournal",
    "SqliteJournal",
    "RedisJournal",
    "RedisBoard",
    "RedisAddress",
    "parse_address",
    "check_redis",
    "all_pipelines",
    "canonical_phase",
    "GenerateCommand",
    "ContentPipeline",
    "ContentCommand",
    "DraftCommand",
    "FormatCommand",
    "RaterCommand",
    "RaterBatchCommand",
    "Template",
    "Templates",
    "Persona",
    "Characteristics",
    "OpenAIChatRequest",
    "ChatRequest",
    "MultiChatRequest",
    "Personas",
    "Conversations",
    "exchange_turns",
    "Providers",
    "ProviderInfo",
    "provider_configs",
    "SimSettings",
    "Wheel",
    # events
    "JSON",
    "Event",
    "Entry",
    "Part",
    "Usage",
    "Receipt",
    "Delta",
    "Reasoning",
    "Progress",
    "Item",
    "PhaseStarted",
    "PartCompleted",
    "PartFailed",
    "PartCancelled",
    "Attempt",
    "AttemptReason",
    "PhaseCompleted",
    "SelectionRequired",
    "Selected",
    "Terminal",
    "Completed",
    "Failed",
    "Cancelled",
    "CancelReason",
    # errors
    "AntiphonError",
    "ErrorCode",
    "RaterErrorCode",
    "CallerError",
    "InvalidJson",
    "InvalidRequest",
    "UnsupportedType",
    "NotFound",
    "Expired",
    "Conflict",
    "TooLarge",
    "Unauthenticated",
    "Forbidden",
    "ProviderNotFound",
    "ProviderNotConfigured",
    "FlowError",
    "RateLimited",
    "Overloaded",
    "Unreachable",
    "ShuttingDown",
    "DeadlineExceeded",
    "BudgetExceeded",
    "ProviderError",
    "ProviderAuth",
    "ProviderRateLimited",
    "ProviderTimeout",
    "ProviderUnavailable",
    "ProviderRefused",
    "ProviderBadOutput",
    "EngineError",
    "ValidationFailed",
    "JournalFailed",
    "Internal",
]
