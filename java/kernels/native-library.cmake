# Builds libkith.so and lays it, with its checksum, where the jar takes its resources from.
# Maven runs it: cmake -DSOURCE=native -DBUILD=target/native -DRESOURCES=... -P native-library.cmake
cmake_minimum_required(VERSION 3.22)

include(ProcessorCount)
ProcessorCount(jobs)
if(jobs EQUAL 0)
  set(jobs 1)
endif()

execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -DCMAKE_BUILD_TYPE=Release
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --target kith --parallel ${jobs}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

file(GLOB_RECURSE library ${BUILD}/libkith.so)
list(LENGTH library found)
if(NOT found EQUAL 1)
  message(FATAL_ERROR "expected one libkith.so under ${BUILD}, found: ${library}")
endif()
file(SHA256 ${library} checksum)
file(MAKE_DIRECTORY ${RESOURCES})
configure_file(${library} ${RESOURCES}/libkith.so COPYONLY)
file(WRITE ${RESOURCES}/libkith.so.sha256 "${checksum}\n")
