from google.protobuf import field_mask_pb2 as _field_mask_pb2
from naiad.v1 import catalog_pb2 as _catalog_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateModelRequest(_message.Message):
    __slots__ = ("model", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: _catalog_pb2.Model
    request_id: str
    def __init__(self, model: _Optional[_Union[_catalog_pb2.Model, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: _catalog_pb2.Model
    def __init__(self, model: _Optional[_Union[_catalog_pb2.Model, _Mapping[str, object]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: _catalog_pb2.Model
    def __init__(self, model: _Optional[_Union[_catalog_pb2.Model, _Mapping[str, object]]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "provider")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    provider: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[_catalog_pb2.Model, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListProviderModelsRequest(_message.Message):
    __slots__ = ("endpoint_profile",)
    ENDPOINT_PROFILE_FIELD_NUMBER: _ClassVar[int]
    endpoint_profile: str
    def __init__(self, endpoint_profile: _Optional[str] = ...) -> None: ...

class ListProviderModelsResponse(_message.Message):
    __slots__ = ("models", "left_out")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.ProviderModel]
    left_out: int
    def __init__(self, models: _Optional[_Iterable[_Union[_catalog_pb2.ProviderModel, _Mapping[str, object]]]] = ..., left_out: _Optional[int] = ...) -> None: ...

class UpdateModelRequest(_message.Message):
    __slots__ = ("model", "update_mask", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: _catalog_pb2.Model
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, model: _Optional[_Union[_catalog_pb2.Model, _Mapping[str, object]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: _catalog_pb2.Model
    def __init__(self, model: _Optional[_Union[_catalog_pb2.Model, _Mapping[str, object]]] = ...) -> None: ...

class DeleteModelRequest(_message.Message):
    __slots__ = ("name", "revision", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    request_id: str
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateTaskClassRequest(_message.Message):
    __slots__ = ("task_class", "request_id")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    task_class: _catalog_pb2.TaskClass
    request_id: str
    def __init__(self, task_class: _Optional[_Union[_catalog_pb2.TaskClass, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateTaskClassResponse(_message.Message):
    __slots__ = ("task_class",)
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    task_class: _catalog_pb2.TaskClass
    def __init__(self, task_class: _Optional[_Union[_catalog_pb2.TaskClass, _Mapping[str, object]]] = ...) -> None: ...

class GetTaskClassRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTaskClassResponse(_message.Message):
    __slots__ = ("task_class",)
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    task_class: _catalog_pb2.TaskClass
    def __init__(self, task_class: _Optional[_Union[_catalog_pb2.TaskClass, _Mapping[str, object]]] = ...) -> None: ...

class ListTaskClassesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTaskClassesResponse(_message.Message):
    __slots__ = ("task_classes", "next_page_token")
    TASK_CLASSES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    task_classes: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.TaskClass]
    next_page_token: str
    def __init__(self, task_classes: _Optional[_Iterable[_Union[_catalog_pb2.TaskClass, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateTaskClassRequest(_message.Message):
    __slots__ = ("task_class", "update_mask", "request_id")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    task_class: _catalog_pb2.TaskClass
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, task_class: _Optional[_Union[_catalog_pb2.TaskClass, _Mapping[str, object]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateTaskClassResponse(_message.Message):
    __slots__ = ("task_class",)
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    task_class: _catalog_pb2.TaskClass
    def __init__(self, task_class: _Optional[_Union[_catalog_pb2.TaskClass, _Mapping[str, object]]] = ...) -> None: ...

class DeleteTaskClassRequest(_message.Message):
    __slots__ = ("name", "revision", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    request_id: str
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteTaskClassResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
