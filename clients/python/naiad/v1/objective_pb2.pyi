from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Strategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRATEGY_UNSPECIFIED: _ClassVar[Strategy]
    STRATEGY_BALANCED: _ClassVar[Strategy]
    STRATEGY_COST_OPTIMIZED: _ClassVar[Strategy]
    STRATEGY_QUALITY_FIRST: _ClassVar[Strategy]
    STRATEGY_LATENCY_OPTIMIZED: _ClassVar[Strategy]
    STRATEGY_ENSEMBLE: _ClassVar[Strategy]
    STRATEGY_FALLBACK: _ClassVar[Strategy]
    STRATEGY_CASCADE: _ClassVar[Strategy]

class RefusalAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_ACTION_UNSPECIFIED: _ClassVar[RefusalAction]
    REFUSAL_ACTION_RETURN: _ClassVar[RefusalAction]
    REFUSAL_ACTION_NEXT: _ClassVar[RefusalAction]
STRATEGY_UNSPECIFIED: Strategy
STRATEGY_BALANCED: Strategy
STRATEGY_COST_OPTIMIZED: Strategy
STRATEGY_QUALITY_FIRST: Strategy
STRATEGY_LATENCY_OPTIMIZED: Strategy
STRATEGY_ENSEMBLE: Strategy
STRATEGY_FALLBACK: Strategy
STRATEGY_CASCADE: Strategy
REFUSAL_ACTION_UNSPECIFIED: RefusalAction
REFUSAL_ACTION_RETURN: RefusalAction
REFUSAL_ACTION_NEXT: RefusalAction

class Objective(_message.Message):
    __slots__ = ("strategy", "usd_per_quality", "usd_per_second", "quality_floor", "confidence", "margin", "models", "usd_per_request", "on_refusal")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    USD_PER_QUALITY_FIELD_NUMBER: _ClassVar[int]
    USD_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FLOOR_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    USD_PER_REQUEST_FIELD_NUMBER: _ClassVar[int]
    ON_REFUSAL_FIELD_NUMBER: _ClassVar[int]
    strategy: Strategy
    usd_per_quality: float
    usd_per_second: float
    quality_floor: float
    confidence: float
    margin: float
    models: _containers.RepeatedScalarFieldContainer[str]
    usd_per_request: float
    on_refusal: RefusalAction
    def __init__(self, strategy: _Optional[_Union[Strategy, str]] = ..., usd_per_quality: _Optional[float] = ..., usd_per_second: _Optional[float] = ..., quality_floor: _Optional[float] = ..., confidence: _Optional[float] = ..., margin: _Optional[float] = ..., models: _Optional[_Iterable[str]] = ..., usd_per_request: _Optional[float] = ..., on_refusal: _Optional[_Union[RefusalAction, str]] = ...) -> None: ...
