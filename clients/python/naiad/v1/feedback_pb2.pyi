from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeedbackSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEEDBACK_SOURCE_UNSPECIFIED: _ClassVar[FeedbackSource]
    FEEDBACK_SOURCE_HUMAN: _ClassVar[FeedbackSource]
    FEEDBACK_SOURCE_JUDGE: _ClassVar[FeedbackSource]
    FEEDBACK_SOURCE_CHECK: _ClassVar[FeedbackSource]
    FEEDBACK_SOURCE_USER: _ClassVar[FeedbackSource]

class Thumb(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    THUMB_UNSPECIFIED: _ClassVar[Thumb]
    THUMB_UP: _ClassVar[Thumb]
    THUMB_DOWN: _ClassVar[Thumb]

class ReactionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REACTION_KIND_UNSPECIFIED: _ClassVar[ReactionKind]
    REACTION_KIND_ACCEPTED: _ClassVar[ReactionKind]
    REACTION_KIND_EDITED: _ClassVar[ReactionKind]
    REACTION_KIND_ABANDONED: _ClassVar[ReactionKind]
    REACTION_KIND_RETRIED: _ClassVar[ReactionKind]

class FeedbackState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEEDBACK_STATE_UNSPECIFIED: _ClassVar[FeedbackState]
    FEEDBACK_STATE_EFFECTIVE: _ClassVar[FeedbackState]
    FEEDBACK_STATE_SUPERSEDED: _ClassVar[FeedbackState]
    FEEDBACK_STATE_RETRACTED: _ClassVar[FeedbackState]
    FEEDBACK_STATE_REVOKED: _ClassVar[FeedbackState]
FEEDBACK_SOURCE_UNSPECIFIED: FeedbackSource
FEEDBACK_SOURCE_HUMAN: FeedbackSource
FEEDBACK_SOURCE_JUDGE: FeedbackSource
FEEDBACK_SOURCE_CHECK: FeedbackSource
FEEDBACK_SOURCE_USER: FeedbackSource
THUMB_UNSPECIFIED: Thumb
THUMB_UP: Thumb
THUMB_DOWN: Thumb
REACTION_KIND_UNSPECIFIED: ReactionKind
REACTION_KIND_ACCEPTED: ReactionKind
REACTION_KIND_EDITED: ReactionKind
REACTION_KIND_ABANDONED: ReactionKind
REACTION_KIND_RETRIED: ReactionKind
FEEDBACK_STATE_UNSPECIFIED: FeedbackState
FEEDBACK_STATE_EFFECTIVE: FeedbackState
FEEDBACK_STATE_SUPERSEDED: FeedbackState
FEEDBACK_STATE_RETRACTED: FeedbackState
FEEDBACK_STATE_REVOKED: FeedbackState

class Preference(_message.Message):
    __slots__ = ("preferred_attempt_id", "other_attempt_id")
    PREFERRED_ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    OTHER_ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    preferred_attempt_id: str
    other_attempt_id: str
    def __init__(self, preferred_attempt_id: _Optional[str] = ..., other_attempt_id: _Optional[str] = ...) -> None: ...

class Reaction(_message.Message):
    __slots__ = ("kind", "edit_share")
    KIND_FIELD_NUMBER: _ClassVar[int]
    EDIT_SHARE_FIELD_NUMBER: _ClassVar[int]
    kind: ReactionKind
    edit_share: float
    def __init__(self, kind: _Optional[_Union[ReactionKind, str]] = ..., edit_share: _Optional[float] = ...) -> None: ...

class Feedback(_message.Message):
    __slots__ = ("feedback_id", "decision_id", "attempt_id", "source", "rater_id", "score", "thumb", "preference", "reaction", "comment", "state", "revisions", "create_time", "update_time", "value", "weight")
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RATER_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THUMB_FIELD_NUMBER: _ClassVar[int]
    PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    REACTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    decision_id: str
    attempt_id: str
    source: FeedbackSource
    rater_id: str
    score: float
    thumb: Thumb
    preference: Preference
    reaction: Reaction
    comment: str
    state: FeedbackState
    revisions: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    value: float
    weight: float
    def __init__(self, feedback_id: _Optional[str] = ..., decision_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., source: _Optional[_Union[FeedbackSource, str]] = ..., rater_id: _Optional[str] = ..., score: _Optional[float] = ..., thumb: _Optional[_Union[Thumb, str]] = ..., preference: _Optional[_Union[Preference, _Mapping[str, object]]] = ..., reaction: _Optional[_Union[Reaction, _Mapping[str, object]]] = ..., comment: _Optional[str] = ..., state: _Optional[_Union[FeedbackState, str]] = ..., revisions: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., value: _Optional[float] = ..., weight: _Optional[float] = ...) -> None: ...
