# Builds libkith_cuda_emulated.so, and, where ARCHITECTURES names some, libkith_cuda.so for them, which it lays with its
# checksum where the jar takes its resources from.
# Maven runs it: cmake -DSOURCE=cuda -DBUILD=target/cuda -DRESOURCES=... -DARCHITECTURES=... -P cuda-library.cmake
cmake_minimum_required(VERSION 3.22)

include(ProcessorCount)
ProcessorCount(jobs)
if(jobs EQUAL 0)
  set(jobs 1)
endif()

if(ARCHITECTURES)
  set(flags -DKITH_CUDA_EMULATED_ONLY=OFF "-DKITH_CUDA_ARCHITECTURES=${ARCHITECTURES}")
  set(targets kith_cuda_emulated kith_cuda)
else()
  set(flags -DKITH_CUDA_EMULATED_ONLY=ON)
  set(targets kith_cuda_emulated)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -DCMAKE_BUILD_TYPE=Release ${flags}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --target ${targets} --parallel ${jobs}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

# A library of an earlier build does not travel with a jar that was not asked to have it.
file(REMOVE ${RESOURCES}/libkith_cuda.so ${RESOURCES}/libkith_cuda.so.sha256)
if(ARCHITECTURES)
  file(SHA256 ${BUILD}/libkith_cuda.so checksum)
  file(MAKE_DIRECTORY ${RESOURCES})
  configure_file(${BUILD}/libkith_cuda.so ${RESOURCES}/libkith_cuda.so COPYONLY)
  file(WRITE ${RESOURCES}/libkith_cuda.so.sha256 "${checksum}\n")
endif()
